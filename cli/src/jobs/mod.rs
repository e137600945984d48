//! Work that outlives the process: results are appended line by line to a file, and a run that is
//! started again skips what is in it.
//!
//! Of work that several machines share, each does a [`Shard`]; its results end with a seal of the
//! [`Part`], by which [`merge()`] sees that they are whole and puts them together.
//!
//! A [`Key`] names a piece of work by everything that its result depends on. [`Results`] is the
//! file, locked for one run; [`Lines`] reads files of lines, of any size and from anyone. [`drive`]
//! keeps a [`Worker`] busy with requests from a [`JobSource`] until there is none: an engine, or the
//! [`Background`] of one that others ask too. A [`Tally`] counts its tokens.

mod drive;
mod error;
mod key;
mod lines;
mod merge;
mod results;
mod row;
mod seal;
mod shard;
mod sink;
mod stdin;
mod tally;
mod worker;

pub use drive::{JobSource, Outcome, drive};
pub use error::JobsError;
pub use key::Key;
pub use lines::{Line, Lines};
pub use merge::{MergeError, Merged, merge};
pub use results::{MOST_LINE_BYTES, Results};
pub use row::{ROW_START, Row, difference};
pub use seal::{Conditions, Part, SEAL_START};
pub use shard::{Shard, ShardError};
pub use sink::Sink;
pub(crate) use stdin::copy_of_stdin;
pub use tally::{Tally, Tokens};
pub use worker::{Background, Worker};
