//! Why a batch stopped.

use crate::jobs::JobsError;
use gatefold::text::printable;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a batch stopped. What is wrong with a request is a [`Fault`](crate::openai::Fault).
#[derive(Debug, Error)]
pub enum BatchError {
    /// The input cannot be read.
    #[error("{} cannot be read: {error}", printable(path.display()))]
    Input {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// The input is not what it was.
    #[error(
        "{}: line {line} was changed while the batch ran; the results so far are kept, and the same command goes on with the file as it is",
        printable(path.display())
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// Which line.
        line: usize,
    },
    /// The results cannot be kept.
    #[error(transparent)]
    Results(#[from] JobsError),
}
