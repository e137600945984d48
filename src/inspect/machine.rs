//! The memory of this machine.

use super::cgroup;
use serde::Serialize;
use std::fs;

/// Memory, as the operating system tells it, within the limits of the container, if there are any.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Machine {
    /// All of it, in bytes.
    pub memory_bytes: u64,
    /// What programs can have without swapping, in bytes: free memory and what caches would yield.
    pub available_bytes: u64,
}

impl Machine {
    /// This machine; `None` where the operating system has no `/proc/meminfo`.
    pub fn this() -> Option<Machine> {
        let machine = Machine::from_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
        Some(cgroup::limits().into_iter().fold(machine, Machine::within))
    }

    /// What both this machine and a limit allow.
    fn within(self, limit: Machine) -> Machine {
        Machine {
            memory_bytes: self.memory_bytes.min(limit.memory_bytes),
            available_bytes: self.available_bytes.min(limit.available_bytes),
        }
    }

    fn from_meminfo(meminfo: &str) -> Option<Machine> {
        let bytes = |key: &str| {
            let line =
                meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
            let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
            kib.checked_mul(1024)
        };
        Some(Machine { memory_bytes: bytes("MemTotal")?, available_bytes: bytes("MemAvailable")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_in_kib() {
        let meminfo = "MemTotal:       24689764 kB\nMemFree:  1 kB\nMemAvailable:   24017896 kB\n";
        let machine = Machine::from_meminfo(meminfo).unwrap();
        assert_eq!(machine.memory_bytes, 24689764 * 1024);
        assert_eq!(machine.available_bytes, 24017896 * 1024);
        assert!(Machine::from_meminfo("MemTotal: 5 kB\n").is_none());
    }
}
