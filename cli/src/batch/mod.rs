//! OpenAI's batch format: a file of requests, a line each, becomes a file of answers.
//!
//! `line` reads a request (with `fields`, which knows how to ask an object for its values) and says
//! in a [`Fault`] what is wrong with it; `input` plans what is to be done, as [`Key`]s of lines;
//! `answer` and `logprobs` have the shape of what is written; [`Reasons`] tell what is wrong with all
//! requests together; [`Batch`] is the [`JobSource`] in between.
//!
//! The format: <https://platform.openai.com/docs/api-reference/batch>, and of the bodies
//! `/v1/chat/completions` and `/v1/completions`.
//!
//! [`Key`]: crate::jobs::Key
//! [`JobSource`]: crate::jobs::JobSource

mod answer;
mod error;
mod fault;
mod fields;
mod input;
mod line;
mod logprobs;
mod prompts;
mod reasons;
mod results;
mod work;

pub use error::BatchError;
pub use fault::Fault;
pub use input::{Input, Item, Plan, Terms};
pub use line::{Line, Params, Prompt, Request, Text};
pub use prompts::Prompts;
pub use reasons::Reasons;
pub use results::Found;
pub use work::{Batch, Progress, Setup};
