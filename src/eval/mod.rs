//! How well a model predicts a text, how far it is from another one, and its raw logits.
//!
//! [`Windows`] cuts a text into the pieces that are scored, a [`Predictor`] gives the logits for
//! them, and [`perplexity()`] and [`divergence()`] make figures of these.

mod divergence;
mod error;
mod estimate;
mod npy;
mod perplexity;
mod predictor;
mod saved;
mod vocabulary;
mod windows;

pub use divergence::{Divergence, divergence};
pub use error::EvalError;
pub use estimate::Estimate;
pub use npy::{MAGIC as NPY_MAGIC, NpyWriter};
pub use perplexity::{Perplexity, perplexity};
pub use predictor::Predictor;
pub use saved::{MAGIC as SAVED_BASE_MAGIC, SavedBase, SavedBaseWriter};
pub use vocabulary::Vocabulary;
pub use windows::Windows;
