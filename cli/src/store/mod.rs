//! Files and batches that are kept in a folder, and outlive the server.
//!
//! A [`Store`] is the folder, locked for one process: `files/ID.data` with `files/ID.json`, its
//! [`FileRecord`], and `batches/ID.json`, a [`BatchRecord`], with `batches/ID.jsonl`, the answers so
//! far. Records are written beside their place and renamed, so that what is there is whole whenever the
//! process dies. An [`Id`] is all that a path is made of. [`work`] answers the batches, one after the
//! other, as [`batch`](crate::batch) does, and goes on with those that an earlier process has left.

mod batches;
mod error;
mod files;
mod folder;
mod id;
mod part;
mod runner;
mod space;
mod trouble;

pub use batches::{Asked, BatchRecord, Counts, Status};
pub use error::StoreError;
pub use files::{FileRecord, Purpose, Upload};
pub use folder::{Store, Tally};
pub use id::{Id, Kind};
pub use part::Part;
pub use runner::work;

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
