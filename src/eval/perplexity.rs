//! Perplexity of a text.

use crate::engine::Sequence;
use crate::model::ModelError;
use gatefold_quant::Isa;
use std::ops::ControlFlow;
use thiserror::Error;

/// How surprised the model was by the tokens that were scored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Perplexity {
    /// Tokens scored.
    pub n_scored: usize,
    /// Sum of their negative log probabilities.
    nll_sum: f64,
    /// Sum of the squares of these.
    nll_square_sum: f64,
}

impl Perplexity {
    /// `exp` of the mean negative log probability.
    pub fn value(&self) -> f64 {
        libm::exp(self.mean())
    }

    /// The standard error of [`Self::value`], taking the tokens as independent.
    pub fn standard_error(&self) -> f64 {
        let n = self.n_scored as f64;
        let variance = (self.nll_square_sum / n - self.mean() * self.mean()).max(0.0);
        self.value() * (variance / (n - 1.0).max(1.0)).sqrt()
    }

    fn mean(&self) -> f64 {
        self.nll_sum / self.n_scored as f64
    }

    fn score(&mut self, nll: f64) {
        self.n_scored += 1;
        self.nll_sum += nll;
        self.nll_square_sum += nll * nll;
    }
}

/// Why perplexity cannot be measured.
#[derive(Debug, Error)]
pub enum PerplexityError {
    /// The model could not take a step.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A window needs a few tokens.
    #[error("windows of {0} tokens are too short to score; use -c 8 or more")]
    Window(usize),
    /// Less text than one window.
    #[error(
        "the text has {n_tokens} tokens, and one window takes {window_len}; give a longer text or a smaller -c"
    )]
    Text {
        /// Tokens of the text.
        n_tokens: usize,
        /// Tokens per window.
        window_len: usize,
    },
}

/// Scores the second half of each whole window of `window_len` tokens, as llama.cpp's tool does:
/// windows do not overlap and start from nothing, `bos` replaces the first token of each where the
/// model wants one, and the tokens after position `window_len / 2` are scored, each by the logits
/// before it. `tokens` includes the BOS of the text. `progress` hears after every window.
///
/// # Errors
/// If there is no whole window, a token is not in the vocabulary, or the model cannot take a step.
pub fn perplexity(
    sequence: &mut Sequence<'_>,
    tokens: &[u32],
    bos: Option<u32>,
    window_len: usize,
    mut progress: impl FnMut(&Perplexity),
) -> Result<Perplexity, PerplexityError> {
    if window_len < 8 {
        return Err(PerplexityError::Window(window_len));
    }
    if tokens.len() < window_len {
        return Err(PerplexityError::Text { n_tokens: tokens.len(), window_len });
    }
    // The last token of a window is scored without being read, hence not checked on the way.
    sequence.model().check_vocabulary(tokens)?;
    let isa = sequence.compute().isa;
    let mut result = Perplexity::default();
    for window in tokens.chunks_exact(window_len) {
        let mut window = window.to_vec();
        if let Some(bos) = bos {
            window[0] = bos;
        }
        sequence.clear();
        let (context, scored) = window[..window_len - 1].split_at(window_len / 2);
        sequence.read(context, |_| ControlFlow::Continue(()))?;
        let mut next = window[window_len / 2 + 1..].iter();
        sequence.read_all(scored, |logits| {
            for (logits, &token) in logits.zip(next.by_ref()) {
                result.score(negative_log_probability(isa, logits, token));
            }
            Ok::<_, ModelError>(())
        })?;
        progress(&result);
    }
    Ok(result)
}

fn negative_log_probability(isa: Isa, logits: &[f32], token: u32) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut exps = logits.to_vec();
    let sum = isa.exp_sum(&mut exps, max);
    libm::log(f64::from(sum)) + f64::from(max) - f64::from(logits[token as usize])
}
