//! What can be wrong with a checkpoint.

use super::vocabulary::VocabularyProblem;
use crate::gguf::{GgufError, printable};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a checkpoint could not be used: the file, and what is wrong with it, in one line.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// A GGUF is at fault, and says so itself.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Any other file or folder.
    #[error("{}: {}", printable(path.display()), printable(problem))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
}

/// What is wrong with a file of a checkpoint.
#[derive(Debug, Error)]
pub enum Problem {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The file ends before a tensor does.
    #[error("ends before its tensor {tensor} does: the file is cut short; download it again")]
    Truncated {
        /// Which tensor.
        tensor: String,
    },
    /// The tokenizer cannot be converted.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyProblem),
}

impl Problem {
    /// The problem of the file at `path`.
    pub(super) fn at(self, path: &Path) -> CheckpointError {
        CheckpointError::File { path: path.to_path_buf(), problem: Box::new(self) }
    }
}
