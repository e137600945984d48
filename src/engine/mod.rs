//! From prompts to tokens: a sequence with its memory, and the loop that extends it.

pub mod generate;
pub mod sequence;
mod stop;

pub use generate::{FinishReason, GenerateError, Generated, Generation, Speed};
pub use sequence::Sequence;
