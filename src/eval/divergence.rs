//! How far a model's predictions are from those of another one.

use super::predictor::predict;
use super::{Estimate, EvalError, Predictor, Windows};
use crate::compute::Compute;
use crate::model::log_probs::LogProbs;
use rayon::prelude::*;
use serde::Serialize;
use std::fmt::{self, Display, Formatter};

/// What two models said to the same text, token by token.
#[derive(Clone, Debug, Default)]
pub struct Divergence {
    tokens: Vec<Comparison>,
}

/// What two models said to a token.
#[derive(Clone, Copy, Debug)]
struct Comparison {
    /// Log probability that the base gave to the token that came.
    base_log_p: f64,
    /// And the model.
    log_p: f64,
    /// Kullback-Leibler divergence of the model's prediction from the base's, in nats.
    kl: f64,
    /// Whether both had the same first choice.
    same_top: bool,
}

/// The figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// Perplexity of the model.
    pub perplexity: Estimate,
    /// Perplexity of the base.
    pub base_perplexity: Estimate,
    /// The model's over the base's. Its error is smaller than theirs, as both read the same text.
    pub perplexity_ratio: Estimate,
    /// `ln` of the ratio.
    pub ln_perplexity_ratio: Estimate,
    /// Mean Kullback-Leibler divergence from the base, in nats.
    pub kl_divergence: Estimate,
    /// How it is distributed.
    pub kl_percentiles: Percentiles,
    /// Share of the tokens for which both had the same first choice.
    pub same_top: Estimate,
    /// Change of the probability of the token that came: its mean.
    pub mean_probability_change: Estimate,
    /// Root of the mean of its square.
    pub rms_probability_change: Estimate,
}

/// Values below which a share of all values lies, between two neighbours by linear interpolation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of them.
    pub median: f64,
    /// 90%
    pub p90: f64,
    /// 95%
    pub p95: f64,
    /// 99%
    pub p99: f64,
    /// 99.9%
    pub p99_9: f64,
    /// All of them.
    pub max: f64,
}

/// Compares a model with its base over the windows. `progress` hears every now and then what there
/// is so far.
///
/// # Errors
/// If a token is not in the vocabulary, a model cannot take a step or is damaged, or what was saved
/// of the base cannot be read.
///
/// # Panics
/// If the two have vocabularies of different sizes.
pub fn divergence(
    model: Predictor<'_>,
    base: Predictor<'_>,
    windows: &Windows,
    compute: &Compute,
    mut progress: impl FnMut(&Divergence),
) -> Result<Divergence, EvalError> {
    let mut result = Divergence::default();
    predict([model, base].each_mut(), windows, |[logits, base_logits], next| {
        assert_eq!(logits.len(), base_logits.len());
        let n_vocab = logits.len() / next.len();
        let rows = logits.par_chunks_exact(n_vocab).zip(base_logits.par_chunks_exact(n_vocab));
        let compared = rows.zip(next).map(|((logits, base_logits), &token)| {
            Comparison::new(&LogProbs::new(logits), &LogProbs::new(base_logits), token)
        });
        result.tokens.extend(compute.run(|| compared.collect::<Vec<_>>()));
        progress(&result);
        Ok::<_, EvalError>(())
    })?;
    Ok(result)
}

impl Comparison {
    fn new(model: &LogProbs<'_>, base: &LogProbs<'_>, token: u32) -> Comparison {
        Comparison {
            base_log_p: base.of(token),
            log_p: model.of(token),
            kl: model.divergence_from(base),
            same_top: model.top() == base.top(),
        }
    }

    fn probability_change(&self) -> f64 {
        libm::exp(self.log_p) - libm::exp(self.base_log_p)
    }
}

impl Divergence {
    /// Tokens scored.
    pub fn n_scored(&self) -> usize {
        self.tokens.len()
    }

    /// Mean Kullback-Leibler divergence, in nats.
    pub fn kl_divergence(&self) -> Estimate {
        self.mean(|token| token.kl)
    }

    /// All figures.
    pub fn figures(&self) -> Figures {
        let ln_perplexity_ratio = self.mean(|token| token.base_log_p - token.log_p);
        Figures {
            perplexity: self.mean(|token| -token.log_p).exp(),
            base_perplexity: self.mean(|token| -token.base_log_p).exp(),
            perplexity_ratio: ln_perplexity_ratio.exp(),
            ln_perplexity_ratio,
            kl_divergence: self.kl_divergence(),
            kl_percentiles: Percentiles::of(self.tokens.iter().map(|token| token.kl).collect()),
            same_top: self.mean(|token| f64::from(token.same_top)),
            mean_probability_change: self.mean(Comparison::probability_change),
            rms_probability_change: self.mean(|token| token.probability_change().powi(2)).sqrt(),
        }
    }

    fn mean(&self, figure: impl Fn(&Comparison) -> f64) -> Estimate {
        Estimate::mean(self.tokens.iter().map(figure))
    }
}

impl Percentiles {
    /// Of values of which there is at least one.
    fn of(mut values: Vec<f64>) -> Percentiles {
        values.sort_by(f64::total_cmp);
        let last = values.len() - 1;
        let at = |share: f64| {
            let position = share * last as f64;
            let (below, fraction) = (position as usize, position.fract());
            values[below] + fraction * (values[(below + 1).min(last)] - values[below])
        };
        Percentiles {
            median: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p99_9: at(0.999),
            max: values[last],
        }
    }
}

impl Display for Figures {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let percent = |Estimate { value, standard_error }| {
            format!("{:9.3}% +/- {:.3}%", 100.0 * value, 100.0 * standard_error)
        };
        let plain = |estimate: Estimate, digits| {
            let Estimate { value, standard_error } = estimate;
            format!("{value:10.digits$} +/- {standard_error:.digits$}")
        };
        let kl = &self.kl_percentiles;
        let share = |value: f64| format!("{value:10.6}");
        let lines = [
            ("perplexity", plain(self.perplexity, 4)),
            ("  of the base", plain(self.base_perplexity, 4)),
            ("  ratio", plain(self.perplexity_ratio, 5)),
            ("  ln of the ratio", plain(self.ln_perplexity_ratio, 5)),
            ("KL divergence, mean", plain(self.kl_divergence, 6)),
            ("  median", share(kl.median)),
            ("  90%", share(kl.p90)),
            ("  95%", share(kl.p95)),
            ("  99%", share(kl.p99)),
            ("  99.9%", share(kl.p99_9)),
            ("  largest", share(kl.max)),
            ("same top token", percent(self.same_top)),
            ("true token's probability, mean change", percent(self.mean_probability_change)),
            ("  RMS change", percent(self.rms_probability_change)),
        ];
        lines.iter().try_for_each(|(label, figure)| writeln!(f, "{label:<38}{figure}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Percentiles;

    #[test]
    fn percentiles_lie_between_neighbours() {
        let percentiles = Percentiles::of((0..=10).rev().map(f64::from).collect());
        let Percentiles { median, p90, p95, p99, p99_9, max } = percentiles;
        assert_eq!((median, p90, max), (5.0, 9.0, 10.0));
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(close(p95, 9.5) && close(p99, 9.9) && close(p99_9, 9.99), "{percentiles:?}");
        assert_eq!(Percentiles::of(vec![3.0]).median, 3.0);
    }
}
