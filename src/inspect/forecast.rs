//! How fast a model will run, from a short measurement of its first layers and of the disk.

use super::larger::Larger;
use serde::Serialize;

/// Seconds that a token takes, where the weights are in memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds {
    /// In each layer.
    pub layer: f64,
    /// Beside them: for its logits.
    pub beside: f64,
}

impl Seconds {
    /// What tells the layers from the rest: the times of a token with one layer and with two.
    pub fn of_one_and_two(one: f64, two: f64) -> Seconds {
        let layer = (two - one).clamp(0.0, one);
        Seconds { layer, beside: one - layer }
    }

    fn all(self, n_layers: usize) -> f64 {
        self.beside + self.layer * n_layers as f64
    }
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// Of the tokens of a single answer.
    pub alone: Seconds,
    /// Of the tokens of [`Forecast::N_TOGETHER`] answers that are made together.
    pub together: Seconds,
    /// Of the tokens of a prompt.
    pub prompt: Seconds,
    /// How fast the disk reads the model's experts; none where nothing is read.
    pub disk_bytes_per_second: Option<f64>,
}

/// Tokens per second that are to be expected.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Forecast {
    /// Of a single answer.
    pub alone: f64,
    /// Of [`Self::N_TOGETHER`] answers together.
    pub together: f64,
    /// Of a long prompt.
    pub prompt: f64,
    /// How fast the disk reads, where it is needed.
    pub disk_bytes_per_second: Option<f64>,
}

/// The part of its computing that a single answer waits for after the disk: what is in memory is computed
/// with meanwhile, and what is missing only when it is there.
const AFTER_THE_DISK: f64 = 0.6;

impl Forecast {
    /// Answers that are made together.
    pub const N_TOGETHER: usize = 32;

    /// Of a model of so many layers, with what the disk has to give where it is `larger` than memory.
    pub fn new(n_layers: usize, measured: &Measured, larger: Option<&Larger>) -> Forecast {
        let Measured { alone, together, prompt, disk_bytes_per_second } = *measured;
        let from_disk = |n_bytes: fn(&Larger) -> u64| match (larger, disk_bytes_per_second) {
            (Some(larger), Some(rate)) if rate > 0.0 => n_bytes(larger) as f64 / rate,
            _ => 0.0,
        };
        let (of_token, of_step) =
            (from_disk(|it| it.disk_bytes_per_token), from_disk(|it| it.disk_bytes_per_step));
        let compute = alone.all(n_layers);
        let alone = compute.max(of_token + AFTER_THE_DISK * compute);
        // A step reads what comes next while it computes.
        let step = |n_tokens: usize, seconds: Seconds| {
            let compute = seconds.all(n_layers) * n_tokens as f64;
            n_tokens as f64 / compute.max(of_step)
        };
        Forecast {
            alone: 1.0 / alone,
            together: step(Forecast::N_TOGETHER, together),
            prompt: step(larger.map_or(1, |larger| larger.step_len), prompt),
            disk_bytes_per_second: disk_bytes_per_second.filter(|_| larger.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_takes_longer_is_waited_for() {
        let seconds = Seconds::of_one_and_two(0.015, 0.025);
        assert!((seconds.layer - 0.01).abs() < 1e-9 && (seconds.beside - 0.005).abs() < 1e-9);
        assert_eq!(Seconds::of_one_and_two(1.0, 0.9), Seconds { layer: 0.0, beside: 1.0 });
        let prompt = Seconds { layer: 0.0005, beside: 0.0 };
        let measured = Measured {
            alone: seconds,
            together: seconds,
            prompt,
            disk_bytes_per_second: Some(1e9),
        };
        let fits = Forecast::new(32, &measured, None);
        assert!((fits.alone - 1.0 / 0.325).abs() < 1e-9 && fits.alone == fits.together);
        assert!((fits.prompt - 62.5).abs() < 1e-9 && fits.disk_bytes_per_second.is_none());
        let larger = Larger {
            expert_share: 0.5,
            disk_bytes_per_step: 12_000_000_000,
            disk_bytes_per_token: 3_000_000_000,
            step_len: 1024,
            fitting_type: None,
        };
        let found = Forecast::new(32, &measured, Some(&larger));
        assert!((found.alone - 1.0 / 3.195).abs() < 1e-9, "{found:?}");
        assert!((found.together - 32.0 / 12.0).abs() < 1e-9, "{found:?}");
        assert!((found.prompt - 62.5).abs() < 1e-9, "{found:?}");
    }
}
