//! How well a model predicts a text, how far it is from another one, and its raw logits.
//!
//! [`Windows`] cuts a text into the pieces that are scored, a [`Predictor`] gives the logits for
//! them, and [`perplexity()`] and [`divergence()`] make figures of these.

pub mod divergence;
mod error;
mod estimate;
pub mod npy;
mod perplexity;
pub mod predictor;
pub mod saved;
mod vocabulary;
mod windows;

pub use divergence::{Divergence, divergence};
pub use error::EvalError;
pub use estimate::Estimate;
pub use npy::NpyWriter;
pub use perplexity::{Perplexity, perplexity};
pub use predictor::Predictor;
pub use saved::{SavedBase, SavedBaseWriter};
pub use vocabulary::Vocabulary;
pub use windows::Windows;
