//! From prompts to tokens: requests join and leave, and travel through the model together.

pub mod generate;
pub mod request;
pub mod scheduler;
pub mod sequence;
mod stop;

pub use generate::{Generation, Speed};
pub use request::{
    Event, FinishReason, GenerateError, Generated, Refusal, Request, RequestId, TokenLogprobs,
};
pub use scheduler::{Engine, Options};
pub use sequence::Sequence;
