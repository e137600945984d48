//! Why results cannot be kept.

use super::shard::Shard;
use gatefold::files::ClaimError;
use gatefold::text::printable;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why results cannot be kept.
#[derive(Debug, Error)]
pub enum JobsError {
    /// The file cannot be had for this run alone.
    #[error(transparent)]
    Claim(#[from] ClaimError),
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
    /// The file holds lines that are no results, and may be somebody's.
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
    /// The file is that of other work.
    #[error(
        "{} is shard {there} of some work, and {}; name another file for the results",
        printable(path.display()),
        wanted.map_or("--shard does not say so".into(), |wanted| format!("not {wanted}"))
    )]
    OtherShard {
        /// The file.
        path: PathBuf,
        /// What it is.
        there: Shard,
        /// What it should be.
        wanted: Option<Shard>,
    },
    /// The file has results that belong elsewhere.
    #[error(
        "{} has a result of {}, which is none of shard {shard}; name another file for the results",
        printable(path.display()), printable(name)
    )]
    Stray {
        /// The file.
        path: PathBuf,
        /// What it is the result of.
        name: String,
        /// What the file should have.
        shard: Shard,
    },
    /// Somebody has changed a result.
    #[error(
        "{} has another line {line} than its run has left there: somebody has changed it; delete that line, and it is done again",
        printable(path.display())
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
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
    /// A result in the file at `path` that is another shard's.
    pub fn stray(path: &Path, name: &str, shard: Shard) -> JobsError {
        JobsError::Stray { path: path.into(), name: name.into(), shard }
    }

    /// For `map_err`: the system's word on what was tried with the file at `path`.
    pub(super) fn file(
        path: &Path,
        action: &'static str,
    ) -> impl Fn(io::Error) -> JobsError + use<> {
        let path = path.to_path_buf();
        move |error| JobsError::File { path: path.clone(), action, error }
    }
}
