//! Texts become importance matrices.
//!
//! A [`Source`] says what is read (`text`), and [`Work`] takes it through a model, with what was added
//! up kept in a file meanwhile (`work`). [`write()`] puts the result where it was wanted, in place of an
//! earlier one and of nothing else; [`describe`] says of which experts little is known.

mod output;
mod text;
mod work;

pub use output::{Form, check_output, describe, write};
pub use text::Source;
pub use work::Work;
