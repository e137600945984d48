//! The memory of a machine with Windows.

use super::Machine;

/// What `GlobalMemoryStatusEx` tells: what is available counts what caches would yield.
pub(super) fn memory() -> Option<Machine> {
    let status = winsafe::GlobalMemoryStatusEx().ok()?;
    Some(Machine { memory_bytes: status.ullTotalPhys, available_bytes: status.ullAvailPhys })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_its_memory() {
        let machine = memory().unwrap();
        assert!(machine.available_bytes <= machine.memory_bytes && machine.memory_bytes > 1 << 20);
    }
}
