//! Perplexity of a text.

use super::estimate::Sums;
use super::predictor::predict;
use super::{Estimate, EvalError, Predictor, Windows};
use crate::compute::Compute;
use crate::model::log_probs::LogProbs;
use rayon::prelude::*;

/// How surprised a model was by the tokens that were scored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Perplexity {
    /// Their negative log probabilities.
    nll: Sums,
}

impl Perplexity {
    /// `exp` of the mean negative log probability.
    pub fn estimate(&self) -> Estimate {
        self.nll.mean().exp()
    }

    /// Tokens scored.
    pub fn n_scored(&self) -> usize {
        self.nll.n
    }
}

/// Scores the windows. `each` gets the logits of some scored tokens after the other,
/// `[n_rows, n_vocab]`, and the perplexity so far.
///
/// # Errors
/// If a token is not in the vocabulary, or the model cannot take a step or is damaged; and whatever
/// `each` returns.
pub fn perplexity<E: From<EvalError>>(
    model: &mut Predictor<'_>,
    windows: &Windows,
    compute: &Compute,
    mut each: impl FnMut(&[f32], &Perplexity) -> Result<(), E>,
) -> Result<Perplexity, E> {
    let mut result = Perplexity::default();
    predict([model], windows, |[logits], next| {
        let rows = logits.par_chunks_exact(logits.len() / next.len()).zip(next);
        let nll = rows.map(|(logits, &token)| -LogProbs::new(logits).of(token));
        result.nll.extend(compute.run(|| nll.collect::<Vec<f64>>()));
        each(logits, &result)
    })?;
    Ok(result)
}
