//! Why something is not kept, or not found.

use super::id::Id;
use crate::openai::Fault;
use gatefold::text::{one_line, printable};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why something is not kept, or not found.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another server has the folder.
    #[error("{} is the folder of another server that runs; stop that, or give this one a folder of its own (--data-dir)", printable(path.display()))]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The folder has other things in it.
    #[error("{} has other things in it than files and batches of a server; give the server a folder of its own (--data-dir), which may be a new one", printable(path.display()))]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// A record is not what was written.
    #[error("{} is damaged ({error}); move it away, and what it tells of is forgotten", printable(path.display()))]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// The system does not let the folder be used.
    #[error("{} cannot be {action}: {error}", printable(path.display()))]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// More than a file may have.
    #[error("the file has more than {most} bytes (--max-upload)")]
    TooLarge {
        /// Bytes.
        most: u64,
    },
    /// More than all files may have.
    #[error("the files have {most} bytes (--max-store), and no more may have them; delete some")]
    Full {
        /// Bytes.
        most: u64,
    },
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    Missing {
        /// `file`, or `batch`.
        what: &'static str,
        /// Its name, as it was asked for.
        id: String,
    },
    /// A file is needed still.
    #[error("{file} is the input of {batch}, which is not done; cancel that first")]
    InUse {
        /// The file.
        file: Id,
        /// What needs it.
        batch: Id,
    },
    /// A file is no input.
    #[error("{file} has the purpose {purpose}; expected one of the purpose batch")]
    Purpose {
        /// The file.
        file: Id,
        /// What it is for.
        purpose: &'static str,
    },
    /// A batch has come to its end.
    #[error("{batch} is {status}, so there is nothing to cancel")]
    Over {
        /// The batch.
        batch: Id,
        /// How it ended.
        status: &'static str,
    },
}

impl StoreError {
    /// For `map_err`: the system's word on what was tried with the file at `path`.
    pub(super) fn file(
        path: &Path,
        action: &'static str,
    ) -> impl Fn(io::Error) -> StoreError + use<> {
        let path = path.to_path_buf();
        move |error| StoreError::File { path: path.clone(), action, error }
    }
}

/// What a client is told: all but where on this machine it is.
impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        let message = one_line(&error);
        match error {
            StoreError::TooLarge { .. } => {
                Fault::at("file_too_large", "file", message).with_status(413)
            }
            StoreError::Full { .. } => Fault::ours("storage_full", message).with_status(507),
            StoreError::Missing { what, .. } => {
                let code = if what == "file" { "file_not_found" } else { "batch_not_found" };
                Fault::new(code, message).with_status(404)
            }
            StoreError::InUse { .. } => Fault::new("file_in_use", message),
            StoreError::Purpose { .. } => Fault::at("invalid_value", "input_file_id", message),
            StoreError::Over { .. } => Fault::new("batch_is_over", message),
            StoreError::File { action, error, .. } => {
                storage_fault(&format!("a file of the server cannot be {action}"), &error)
            }
            StoreError::Locked { .. } | StoreError::Foreign { .. } | StoreError::Damaged { .. } => {
                Fault::ours("storage_failed", "the server cannot use its folder")
            }
        }
    }
}

/// What a client is told where the system does not let something be done.
pub(super) fn storage_fault(what: &str, error: &io::Error) -> Fault {
    let message = format!("{what}: {}", one_line(error));
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Fault::ours("storage_full", message).with_status(507)
        }
        _ => Fault::ours("storage_failed", message),
    }
}
