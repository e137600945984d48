//! How well a model predicts a text, and its raw logits.

pub mod npy;
pub mod perplexity;

pub use npy::NpyWriter;
pub use perplexity::{Perplexity, PerplexityError, perplexity};
