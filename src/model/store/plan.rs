//! How many experts of each layer stay in memory.

/// Buffers for experts that pass through memory, in a sweep: while one of them is computed with, others are
/// read.
const SWEEP_PASSING: usize = 4;

/// Fewest: what is read next, and what is computed with.
const LEAST_PASSING: usize = 2;

/// What stays and what passes.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// Per layer, how many of its experts stay.
    pub n_slots: Vec<usize>,
    /// Buffers of the largest expert's size for those that do not.
    pub n_passing: usize,
}

/// Bytes of experts that a model cannot do without, of which the largest takes `largest`.
pub fn least_bytes(largest: u64) -> u64 {
    LEAST_PASSING as u64 * largest
}

impl Plan {
    /// For `n_bytes` and layers of `n_experts`, each as large as `expert_bytes` says of its layer; for a sweep
    /// or another step. What is too little for an expert of every layer is spread evenly over them, so that
    /// a sweep's reads are.
    pub fn new(n_bytes: u64, n_experts: usize, expert_bytes: &[u64], is_sweep: bool) -> Plan {
        let round_bytes: u64 = expert_bytes.iter().sum();
        let largest = expert_bytes.iter().copied().max().unwrap_or(1).max(1);
        if round_bytes.saturating_mul(n_experts as u64) <= n_bytes {
            return Plan { n_slots: vec![n_experts; expert_bytes.len()], n_passing: 0 };
        }
        let quarter = usize::try_from(n_bytes / largest / 4).unwrap_or(usize::MAX);
        let most_passing = if is_sweep { SWEEP_PASSING } else { LEAST_PASSING };
        let n_passing = quarter.clamp(LEAST_PASSING, most_passing);
        let left = n_bytes.saturating_sub(n_passing as u64 * largest);
        let (n_rounds, rest) = (left / round_bytes.max(1), left % round_bytes.max(1));
        let (n_layers, n_more) = (expert_bytes.len() as u64, rest / largest);
        let n_more_before = |layer_idx: u64| layer_idx * n_more / n_layers;
        let n_slots = (0..n_layers).map(|layer_idx| {
            let more = n_more_before(layer_idx + 1) - n_more_before(layer_idx);
            ((n_rounds + more) as usize).min(n_experts)
        });
        Plan { n_slots: n_slots.collect(), n_passing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_spread_evenly() {
        let plan = |n_bytes| Plan::new(n_bytes, 8, &[10; 6], true);
        assert_eq!(plan(0), Plan { n_slots: vec![0; 6], n_passing: 2 });
        assert_eq!(plan(55), Plan { n_slots: vec![0, 1, 0, 1, 0, 1], n_passing: 2 });
        assert_eq!(plan(190), Plan { n_slots: vec![2, 3, 2, 3, 2, 3], n_passing: 4 });
        assert_eq!(plan(479), Plan { n_slots: vec![7, 7, 7, 7, 7, 8], n_passing: 4 });
        assert_eq!(plan(480), Plan { n_slots: vec![8; 6], n_passing: 0 });
        let alone = Plan::new(190, 8, &[10; 6], false);
        assert_eq!(alone, Plan { n_slots: vec![2, 3, 3, 3, 3, 3], n_passing: 2 });
        let uneven = Plan::new(150, 8, &[10, 20, 10], true);
        assert_eq!(uneven, Plan { n_slots: vec![2, 2, 3], n_passing: 2 });
    }
}
