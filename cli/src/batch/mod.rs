//! OpenAI's batch format: a file of requests, a line each, becomes a file of answers.
//!
//! `line` reads a request, whose body [`openai`](crate::openai) understands; `input` plans what is to be
//! done, as [`Key`]s of lines; `answer` has the shape of what is written; [`Reasons`] tell what is wrong
//! with all requests together; [`Batch`] is the [`JobSource`] in between.
//!
//! The format: <https://platform.openai.com/docs/api-reference/batch>.
//!
//! [`Key`]: crate::jobs::Key
//! [`JobSource`]: crate::jobs::JobSource

mod answer;
mod error;
mod input;
mod line;
mod reasons;
mod results;
mod work;

pub use answer::BEGINNING;
pub use error::BatchError;
pub use input::{Input, Item, Plan, Terms};
pub use line::Line;
pub use reasons::Reasons;
pub use results::{Found, count_rows, for_each_answer, separate};
pub use work::{Batch, Progress, Setup};
