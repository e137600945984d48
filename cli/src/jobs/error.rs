//! Why results cannot be kept.

use gatefold::gguf::printable;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why results cannot be kept.
#[derive(Debug, Error)]
pub enum JobsError {
    /// A folder, a device, a pipe.
    #[error("{} is {what}; name a file for the results", printable(path.display()))]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// The system does not let the file be used.
    #[error("{} cannot be {action}: {error}; see to that, or name another file for the results", printable(path.display()))]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// Another run has the file.
    #[error(
        "{} is being written by another run; let it finish, or name another file",
        printable(path.display())
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else, which is not to be lost.
    #[error(
        "{} has other things in it than such results (line {line}), and is left as it is; name another file, or delete that line if it is a damaged result, which is then done again",
        printable(path.display())
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The first such line.
        line: usize,
    },
    /// A file has the name of one that is needed for a moment.
    #[error(
        "{} is in the way: a file of this name is needed while the results are put in order; move it away or delete it",
        printable(path.display())
    )]
    InTheWay {
        /// The file.
        path: PathBuf,
    },
    /// A result could not be written.
    #[error(
        "{} cannot be written further: {error}; the results in it are kept, and the same command goes on from there",
        printable(path.display())
    )]
    Append {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Nobody takes the results.
    #[error("cannot write to stdout")]
    Stdout(#[source] io::Error),
}

impl JobsError {
    /// For `map_err`: the system's word on what was tried with the file at `path`.
    pub(super) fn file(
        path: &Path,
        action: &'static str,
    ) -> impl Fn(io::Error) -> JobsError + use<> {
        let path = path.to_path_buf();
        move |error| JobsError::File { path: path.clone(), action, error }
    }
}
