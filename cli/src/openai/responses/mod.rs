//! `/v1/responses`, without a memory: what it asks for is a conversation, and its answers are one
//! message each, or calls of functions.
//!
//! `request` understands a body, `items` what its input consists of, `response` has the shape of the
//! answer, and [`ResponseEvents`] tells it in pieces.
//!
//! The format: <https://platform.openai.com/docs/api-reference/responses>.

mod events;
mod items;
mod request;
mod response;

pub use events::ResponseEvents;
pub(super) use request::parse;
pub use response::ResponseHead;
