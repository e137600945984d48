//! What predicts the tokens of a text.

use super::{EvalError, SavedBase, Windows};
use crate::engine::LogitsSession;

/// A model that reads windows, or a file of what one said to them before.
pub struct Predictor<'m> {
    name: String,
    source: Source<'m>,
}

enum Source<'m> {
    Model(LogitsSession<'m>),
    Saved(SavedBase),
}

impl<'m> Predictor<'m> {
    /// A model whose file is `name`, reading into `sequence`.
    pub fn model(name: String, sequence: LogitsSession<'m>) -> Predictor<'m> {
        Predictor { name, source: Source::Model(sequence) }
    }

    /// What was saved of a model.
    pub fn saved(saved: SavedBase) -> Predictor<'m> {
        Predictor { name: saved.path().to_owned(), source: Source::Saved(saved) }
    }

    /// How many tokens each expert of each layer has evaluated so far, `[n_layers][n_experts]`; none
    /// for what was saved.
    pub fn expert_tokens(&self) -> &[Vec<u64>] {
        match &self.source {
            Source::Model(sequence) => sequence.expert_tokens(),
            Source::Saved(_) => &[],
        }
    }

    fn check_vocabulary(&self, tokens: &[u32]) -> Result<(), EvalError> {
        if let Source::Model(sequence) = &self.source {
            sequence.model().check_vocabulary(tokens)?;
        }
        Ok(())
    }

    fn begin(&mut self, context: &[u32]) -> Result<(), EvalError> {
        if let Source::Model(sequence) = &mut self.source {
            sequence.clear();
            sequence.prefill(context)?;
        }
        Ok(())
    }

    /// Logits after each of the tokens, `[tokens.len(), n_vocab]`, all finite.
    fn predict(&mut self, tokens: &[u32]) -> Result<Vec<f32>, EvalError> {
        let logits = match &mut self.source {
            Source::Model(sequence) => sequence.prefill_each(tokens)?,
            Source::Saved(saved) => saved.read(tokens.len())?,
        };
        match logits.iter().all(|logit| logit.is_finite()) {
            true => Ok(logits),
            false => Err(EvalError::NotFinite { name: self.name.clone() }),
        }
    }
}

/// Scored tokens whose logits are in memory together: 128 take 16 MB with Mixtral's vocabulary.
const MAX_ROWS: usize = 128;

/// Takes predictors through the windows side by side. `each` gets the logits of every one,
/// `[n_rows, n_vocab]`, and the tokens that follow in the text, `[n_rows]`.
///
/// # Errors
/// If a token is not in the vocabulary, a model cannot take a step, or a saved file cannot be read;
/// and whatever `each` returns.
pub(super) fn predict<const N: usize, E: From<EvalError>>(
    mut predictors: [&mut Predictor<'_>; N],
    windows: &Windows,
    mut each: impl FnMut([&[f32]; N], &[u32]) -> Result<(), E>,
) -> Result<(), E> {
    // The last token of a window is scored without being read, hence not checked on the way.
    for predictor in &predictors {
        predictor.check_vocabulary(windows.tokens())?;
    }
    for window in windows.iter() {
        for predictor in &mut predictors {
            predictor.begin(window.context())?;
        }
        let chunks = window.predicting().chunks(MAX_ROWS).zip(window.next().chunks(MAX_ROWS));
        for (tokens, next) in chunks {
            let mut logits = [const { Vec::new() }; N];
            for (logits, predictor) in logits.iter_mut().zip(&mut predictors) {
                *logits = predictor.predict(tokens)?;
            }
            each(logits.each_ref().map(Vec::as_slice), next)?;
        }
    }
    Ok(())
}
