//! What macOS tells under names, by its call `sysctl`.

use super::Machine;

/// The memory. What programs can have is what is free, what was read ahead of its use (which is not
/// among the free pages), the contents of files, and what programs let go of. Contents of files that
/// were changed have to be written before; they count all the same, as on Linux.
///
/// `figure` tells the figure of a name.
pub(super) fn memory(figure: impl Fn(&str) -> Option<u64>) -> Option<Machine> {
    let memory_bytes = figure("hw.memsize")?;
    let n_free = figure("vm.page_free_count")?;
    let yielding =
        ["vm.page_speculative_count", "vm.page_pageable_external_count", "vm.page_purgeable_count"];
    // Older systems do not tell all of them.
    let n_yielding: u64 = yielding.into_iter().filter_map(&figure).sum();
    let available_bytes = n_free.saturating_add(n_yielding).saturating_mul(figure("hw.pagesize")?);
    Some(Machine { memory_bytes, available_bytes: available_bytes.min(memory_bytes) })
}

/// The cores made for speed. The others of Apple's chips take several times as long for the same work,
/// and all would wait for them at the end of each loop. `None` where all cores are alike.
pub(super) fn n_fast_cores(figure: impl Fn(&str) -> Option<u64>) -> Option<usize> {
    let n_kinds = figure("hw.nperflevels").filter(|&n_kinds| n_kinds > 1);
    n_kinds.and_then(|_| figure("hw.perflevel0.physicalcpu")?.try_into().ok())
}

/// What this machine tells.
#[cfg(target_os = "macos")]
pub(super) fn figure(name: &str) -> Option<u64> {
    use sysctl::{Ctl, CtlValue, Sysctl};
    match Ctl::new(name).ok()?.value().ok()? {
        CtlValue::Int(number) | CtlValue::S32(number) => number.try_into().ok(),
        CtlValue::Long(number) | CtlValue::S64(number) => number.try_into().ok(),
        CtlValue::Uint(number) | CtlValue::U32(number) => Some(number.into()),
        CtlValue::Ulong(number) | CtlValue::U64(number) => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine that tells these figures.
    fn telling(figures: &[(&str, u64)]) -> impl Fn(&str) -> Option<u64> {
        |name| figures.iter().find(|(known, _)| *known == name).map(|&(_, figure)| figure)
    }

    #[test]
    fn caches_are_available() {
        let mut figures = vec![
            ("hw.memsize", 16 << 30),
            ("hw.pagesize", 16384),
            ("vm.page_free_count", 10_000),
            ("vm.page_speculative_count", 2_000),
            ("vm.page_pageable_external_count", 300_000),
            ("vm.page_purgeable_count", 500),
        ];
        let memory = |figures: &[_]| {
            let machine = memory(telling(figures))?;
            Some((machine.memory_bytes, machine.available_bytes))
        };
        assert_eq!(memory(&figures), Some((16 << 30, 312_500 * 16384)));
        assert_eq!(memory(&figures[..4]), Some((16 << 30, 12_000 * 16384)));
        figures[2].1 = u64::MAX >> 1;
        assert_eq!(memory(&figures), Some((16 << 30, 16 << 30)));
        assert_eq!(memory(&figures[..2]), None);
    }

    #[test]
    fn fast_cores_count_where_there_are_others() {
        let cores = |figures: &[_]| n_fast_cores(telling(figures));
        let apple = [("hw.nperflevels", 2), ("hw.perflevel0.physicalcpu", 4)];
        assert_eq!(cores(&apple), Some(4));
        assert_eq!(cores(&[("hw.nperflevels", 1), ("hw.perflevel0.physicalcpu", 8)]), None);
        assert_eq!(cores(&[("hw.physicalcpu", 8)]), None);
    }

    #[cfg(target_os = "macos")]
    #[test]
    fn this_machine_tells_its_memory() {
        let machine = super::memory(figure).unwrap();
        assert!(machine.memory_bytes > 1 << 30 && machine.available_bytes > 0);
        assert!(n_fast_cores(figure).is_none_or(|n_cores| n_cores > 0));
    }
}
