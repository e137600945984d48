//! The memory of this machine, what of it models may have, and its cores.

#[cfg(target_os = "linux")]
mod cgroup;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", test))]
mod macos;
#[cfg(windows)]
mod windows;

use serde::Serialize;
use std::thread;

/// Memory, as the operating system tells it, within the limits of the container, if there are any.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Machine {
    /// All of it, in bytes.
    pub memory_bytes: u64,
    /// What programs can have without swapping, in bytes: free memory and what caches would yield.
    pub available_bytes: u64,
}

impl Machine {
    /// This machine; `None` where the operating system does not tell (a container without `/proc`).
    pub fn this() -> Option<Machine> {
        system::memory()
    }

    /// Bytes that a model may take in all, where the user does not say: what is available, less a sixteenth
    /// for other programs.
    pub fn free_bytes(self) -> u64 {
        self.available_bytes - self.available_bytes / 16
    }

    /// What both this machine and a limit allow.
    #[cfg(target_os = "linux")]
    fn within(self, limit: Machine) -> Machine {
        Machine {
            memory_bytes: self.memory_bytes.min(limit.memory_bytes),
            available_bytes: self.available_bytes.min(limit.available_bytes),
        }
    }
}

/// What systems tell.
#[cfg(target_os = "linux")]
mod system {
    pub(super) use super::linux::memory;

    pub fn n_fast_cores() -> Option<usize> {
        None
    }
}

#[cfg(target_os = "macos")]
mod system {
    use super::{Machine, macos};

    pub fn memory() -> Option<Machine> {
        macos::memory(macos::figure)
    }

    pub fn n_fast_cores() -> Option<usize> {
        macos::n_fast_cores(macos::figure)
    }
}

#[cfg(windows)]
mod system {
    pub(super) use super::windows::memory;

    pub fn n_fast_cores() -> Option<usize> {
        None
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos", windows)))]
mod system {
    use super::Machine;

    pub fn memory() -> Option<Machine> {
        None
    }

    pub fn n_fast_cores() -> Option<usize> {
        None
    }
}

/// The cores that are worth a thread each, of those that this process may use: the physical ones, since a
/// second hardware thread shares its core's dot-product units and only adds contention; of cores of
/// several kinds, on macOS, the fast ones.
pub(crate) fn n_cores() -> usize {
    let allowed = thread::available_parallelism().map_or(1, usize::from);
    system::n_fast_cores().unwrap_or_else(num_cpus::get_physical).clamp(1, allowed)
}

/// What keys and values may take where the operating system does not tell the memory.
const MODEST_CACHE_BYTES: u64 = 2_000_000_000;

/// Bytes that the keys and values of many sequences may take, where the user does not say: what is
/// available, less the weights, less a tenth for the activations of a step and for other programs.
///
/// The weights count whole, whether they are in the page cache already or not. What is there is
/// available to the operating system, which would drop it for the asking, but it has to stay. Where
/// the weights leave less than an eighth of what is available, it is an eighth: a model that is larger
/// than the memory reads weights from disk in any case.
pub fn cache_bytes(weights_bytes: u64) -> u64 {
    let machine = Machine::this();
    machine.map_or(MODEST_CACHE_BYTES, |machine| cache_bytes_in(machine, weights_bytes))
}

fn cache_bytes_in(machine: Machine, weights_bytes: u64) -> u64 {
    let left = machine.available_bytes.saturating_sub(weights_bytes);
    (left - left / 10).max(machine.available_bytes / 8)
}

/// Bytes of a model's files that may be read ahead of their use: what is available, less a tenth for
/// keys, values and activations. What the page cache has already counts as available.
pub fn read_ahead_bytes() -> u64 {
    let machine = Machine::this();
    machine.map_or(u64::MAX, |machine| machine.available_bytes - machine.available_bytes / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_gets_what_the_weights_leave() {
        let machine = Machine { memory_bytes: 24_000, available_bytes: 20_000 };
        assert_eq!(cache_bytes_in(machine, 8_000), 10_800);
        assert_eq!(cache_bytes_in(machine, 19_000), 2_500);
        assert_eq!(cache_bytes_in(machine, 26_000), 2_500);
    }
}
