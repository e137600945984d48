//! OpenAI's API without its transport: what requests ask for, and what answers look like.
//!
//! A body becomes a [`Request`] (`request`, `messages`, `params`), or a [`Fault`] that says what is
//! wrong with it; [`Fields`] asks an object for one value after another, so that no field is passed over.
//! [`Prompts`] makes tokens of it and a constraint of the [`Form`] that answers are to have, and
//! [`Request::of_engine`] what the engine is asked for. Of what that makes, `choice` and `logprobs`
//! make the answer, a [`Completion`]; and `chunks` the same in pieces, as they come. `tools` has the
//! functions that a model may call, and `calls` finds calls in what it says, which `delta_parser` keeps
//! back until it is known to be none. [`responses`] is another form of the same.
//!
//! The format: <https://platform.openai.com/docs/api-reference>, of `/v1/chat/completions`,
//! `/v1/completions` and `/v1/responses`.

mod calls;
mod choice;
mod chunks;
mod completion;
mod delta_parser;
mod endpoint;
mod fault;
mod fields;
mod form;
mod logprobs;
mod messages;
mod params;
mod prompts;
mod request;
pub mod responses;
mod text_tokens;
mod tools;

pub use calls::Call;
pub use choice::{Choice, Receipt};
pub use chunks::{Chunks, Progress};
pub use completion::{CachedTokens, Choices, Completion, Heading, Usage};
pub use endpoint::Endpoint;
pub use fault::Fault;
pub(crate) use fault::quoted;
pub use fields::Fields;
pub use form::{Form, Forms};
pub use logprobs::Logprobs;
pub use params::Params;
pub use prompts::{Encoded, Prompts};
pub(crate) use request::IGNORED;
pub use request::{MOST_BODY_BYTES, Prompt, Request, Text, Wants};
pub use tools::Tools;
