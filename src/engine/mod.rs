//! From prompts to tokens: requests join and leave, and travel through the model together.

mod answer;
mod member;
mod prefix;
mod prefix_file;
pub mod request;
pub mod scheduler;
pub mod sequence;
mod speed;
mod stop;

pub use prefix_file::{PrefixFileError, PrefixProblem};
pub use request::{
    Event, FinishReason, GenerateError, Generated, Refusal, Request, RequestId, TokenLogprobs,
};
pub use scheduler::{Engine, Options};
pub use sequence::Sequence;
pub use speed::Speed;
