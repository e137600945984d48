//! What is lost without an expert.

use super::reader::Window;
use crate::compute::Compute;
use crate::engine::LogitsSession;
use crate::eval::Estimate;
use crate::model::ModelError;
use crate::model::log_probs::LogProbs;
use rayon::prelude::*;
use serde::Serialize;
use std::ops::ControlFlow;

/// What is lost without each expert of a layer: the mean Kullback-Leibler divergence of the
/// predictions from those of the whole model, in nats.
///
/// An expert is left out as if neither it nor its row of the router were in the file: its tokens go to
/// the next best expert, and the weights of those chosen sum to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ablation {
    /// The layer.
    pub layer: usize,
    /// Tokens that it was measured over.
    pub n_tokens: usize,
    /// Per expert.
    pub kl: Vec<Loss>,
}

/// A mean over tokens, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Loss {
    /// The mean.
    pub value: f64,
    /// Its standard error, with the tokens taken as independent, which neighbours are not; none for
    /// fewer than two.
    pub standard_error: Option<f64>,
}

impl Loss {
    fn mean(values: &[f64]) -> Loss {
        let Estimate { value, standard_error } = Estimate::mean(values.iter().copied());
        Loss { value, standard_error: (values.len() > 1).then_some(standard_error) }
    }
}

/// Measures it over the tokens of windows, for `n_layers` of `n_experts`. `progress` hears of each
/// pass over a window, and may break it off; then there is nothing.
///
/// # Errors
/// If a window does not fit the session's context, or has a token that the model does not.
pub fn ablation(
    session: &mut LogitsSession<'_>,
    compute: &Compute,
    windows: &[Window],
    (n_layers, n_experts): (usize, usize),
    mut progress: impl FnMut() -> ControlFlow<()>,
) -> Result<Option<Vec<Ablation>>, ModelError> {
    let n_vocab = session.model().n_vocab();
    let mut kl: Vec<Vec<f64>> = vec![Vec::new(); n_layers * n_experts];
    for window in windows {
        let mut read = |without| {
            session.leave_out(without);
            session.clear();
            session.prefill_each(&window.tokens)
        };
        let base = read(None)?;
        for (idx, kl) in kl.iter_mut().enumerate() {
            if progress().is_break() {
                session.leave_out(None);
                return Ok(None);
            }
            let without = read(Some((idx / n_experts, idx % n_experts)))?;
            let rows = without.par_chunks_exact(n_vocab).zip(base.par_chunks_exact(n_vocab));
            let rows = rows.skip(window.n_context).map(|(without, base)| {
                LogProbs::new(without).divergence_from(&LogProbs::new(base))
            });
            kl.extend(compute.run(|| rows.collect::<Vec<f64>>()));
        }
    }
    session.leave_out(None);
    let layers = kl.chunks(n_experts).enumerate().map(|(layer, experts)| Ablation {
        layer,
        n_tokens: experts.first().map_or(0, Vec::len),
        kl: experts.iter().map(|kl| Loss::mean(kl)).collect(),
    });
    Ok(Some(layers.collect()))
}
