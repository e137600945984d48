//! What becomes of a model that is larger than the memory.

use crate::model::{Memory, Model, Needs};
use crate::text::bytes;
use gatefold_quant::DynFormat;
use serde::Serialize;

/// How a model runs that is larger than the memory available.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Larger {
    /// The part of the experts that stays in memory while a single answer is made.
    pub expert_share: f64,
    /// Bytes read from the disk for each step of many tokens: what is missing.
    pub disk_bytes_per_step: u64,
    /// Bytes read from the disk for each token of a single sequence, about.
    pub disk_bytes_per_token: u64,
    /// Tokens of a prompt's step.
    pub step_len: usize,
    /// The largest type of K-quants that would fit.
    pub fitting_type: Option<&'static str>,
}

/// K-quants that most models are published in, the largest first.
const TYPES: [&str; 5] = ["Q6_K", "Q5_K", "Q4_K", "Q3_K", "Q2_K"];

impl Larger {
    /// Of a model of so many weights, where so much memory is free; `None` if it fits.
    pub(super) fn of(model: &Model, n_parameters: u64, free_bytes: u64) -> Option<Larger> {
        let config = model.config();
        let active = config.top_k.max(1) as f64 / config.n_experts.max(1) as f64;
        Larger::within(model.needs(None), n_parameters, active.min(1.0), free_bytes)
    }

    fn within(needs: Needs, n_parameters: u64, active: f64, free_bytes: u64) -> Option<Larger> {
        let shares = |needs: Needs| needs.shares(free_bytes, &Memory::default());
        let found = shares(needs);
        found.weights_bytes?;
        let step_len = found.max_batched_tokens?;
        let missing = |step_len| {
            let expert_share = needs.expert_share(&found, step_len);
            (expert_share, (1.0 - expert_share) * needs.experts as f64)
        };
        let ((expert_share, of_token), (_, of_step)) = (missing(1), missing(step_len));
        let bits = needs.weights as f64 * 8.0 / n_parameters as f64;
        let fits = |name: &&&'static str| {
            let format = DynFormat::by_name(name).expect("one of the formats");
            let format_bits = format.block_bytes as f64 * 8.0 / format.block_len as f64;
            let weights = (needs.weights as f64 * format_bits / bits) as u64;
            format_bits < bits && shares(Needs { weights, ..needs }).weights_bytes.is_none()
        };
        Some(Larger {
            expert_share,
            disk_bytes_per_step: of_step as u64,
            disk_bytes_per_token: (of_token * active) as u64,
            step_len,
            fitting_type: TYPES.iter().find(fits).copied(),
        })
    }

    /// The same in words.
    pub(super) fn told(&self) -> String {
        let Larger {
            expert_share, disk_bytes_per_step, disk_bytes_per_token, fitting_type, ..
        } = *self;
        let smaller = match fitting_type {
            Some(name) => format!("a file of type {name} would fit"),
            None => "no smaller type would fit".into(),
        };
        format!(
            "the weights are larger than the memory available: {:.0}% of the experts stay there, and from the disk come {} for each token of a single answer, or {} for each step of many tokens; {smaller}",
            100.0 * expert_share,
            bytes(disk_bytes_per_token),
            bytes(disk_bytes_per_step)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_told_with_what_would() {
        let needs = Needs {
            weights: 26_300_000_000,
            experts: 25_400_000_000,
            largest_expert: 99_000_000,
            least_weights: Some(1_100_000_000),
            activations: 340_000,
            cache: 70_000,
        };
        let within = |free_bytes| Larger::within(needs, 46_700_000_000, 0.25, free_bytes);
        assert_eq!(within(28_000_000_000), None);
        let larger = within(22_000_000_000).unwrap();
        assert_eq!(larger.fitting_type, Some("Q3_K"));
        assert!((0.6..0.85).contains(&larger.expert_share), "{larger:?}");
        // A long step has its activations and more buffers in memory.
        let alike = larger.disk_bytes_per_token as f64 * 4.0 / larger.disk_bytes_per_step as f64;
        assert!((0.7..1.0).contains(&alike), "{larger:?}");
        assert!(larger.told().contains("Q3_K would fit"), "{}", larger.told());
        assert!(within(5_000_000_000).unwrap().told().contains("no smaller type"));
        // Where even that is too much, it is mapped.
        assert_eq!(within(1_000_000_000), None);
    }
}
