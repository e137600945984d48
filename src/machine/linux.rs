//! The memory of a machine with Linux, within the limits of its containers and services.

use super::{Machine, cgroup};
use std::fs;

/// What `/proc/meminfo` and control groups tell.
pub(super) fn memory() -> Option<Machine> {
    let machine = of_meminfo(&fs::read_to_string("/proc/meminfo").ok()?)?;
    Some(cgroup::limits().into_iter().fold(machine, Machine::within))
}

fn of_meminfo(meminfo: &str) -> Option<Machine> {
    let bytes = |key: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kib.checked_mul(1024)
    };
    Some(Machine { memory_bytes: bytes("MemTotal")?, available_bytes: bytes("MemAvailable")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meminfo_is_in_kib() {
        let meminfo = "MemTotal:       24689764 kB\nMemFree:  1 kB\nMemAvailable:   24017896 kB\n";
        let machine = of_meminfo(meminfo).unwrap();
        assert_eq!(machine.memory_bytes, 24689764 * 1024);
        assert_eq!(machine.available_bytes, 24017896 * 1024);
        assert!(of_meminfo("MemTotal: 5 kB\n").is_none());
    }

    #[test]
    fn this_machine_tells_its_memory() {
        let machine = memory().unwrap();
        assert!(machine.available_bytes <= machine.memory_bytes && machine.memory_bytes > 1 << 20);
    }
}
