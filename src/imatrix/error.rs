//! What can be wrong with an importance matrix.

use crate::gguf::GgufError;
use crate::text::printable;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a file is no importance matrix that can be used: the file, and what is wrong, in one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ImatrixError {
    /// As a GGUF.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// As sums.
    #[error("{}: {problem}", printable(path.display()))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
}

/// What is wrong with sums, or with a file of them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The system says no.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Something else, such as a model.
    #[error(
        "is no importance matrix: {}; name a file that llama-imatrix or Gatefold made of a text",
        printable(what)
    )]
    Foreign {
        /// What it is, or what it lacks.
        what: String,
    },
    /// The file ends too early.
    #[error(
        "is cut short or no importance matrix: it ends within {}; make or download it again",
        printable(item)
    )]
    Truncated {
        /// What is cut.
        item: String,
    },
    /// No sums at all.
    #[error("has no sums: the text was too short for one window; use a longer one")]
    Empty,
    /// One half of an entry.
    #[error(
        "entry {} has {found} and no {missing}; the file is damaged, make or download it again",
        printable(entry)
    )]
    Half {
        /// Which.
        entry: String,
        /// What is there: `in_sum2`.
        found: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// Two entries of one name.
    #[error("has entry {} twice: it is unclear which one counts", printable(entry))]
    Twice {
        /// Which.
        entry: String,
    },
    /// A sum or count that is none.
    #[error(
        "entry {}: a sum of squares is negative, not finite, or beyond 1.8e19: the model's weights or the file are damaged",
        printable(entry)
    )]
    Value {
        /// Which.
        entry: String,
    },
    /// Numbers of values that do not go together.
    #[error(
        "entry {}: {n_values} sums for {n_matrices} matrices{}; the importance matrix is of another model, or damaged",
        printable(entry), if *cols > 0 { format!(" of {cols} columns") } else { String::new() }
    )]
    Shape {
        /// Which.
        entry: String,
        /// Sums that there are.
        n_values: usize,
        /// Matrices that the tensor has.
        n_matrices: usize,
        /// Columns of each, where that is known.
        cols: usize,
    },
    /// Two sets of sums that cannot be added.
    #[error("has {} sums for {} matrices, and the other {} for {}; merge those of one model", a.1, a.0, b.1, b.0)]
    Sizes {
        /// Matrices and sums of the one.
        a: (usize, usize),
        /// Of the other.
        b: (usize, usize),
    },
    /// The same, with its name.
    #[error("entry {} {problem}", printable(entry))]
    In {
        /// Which.
        entry: String,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// The state of another run.
    #[error(
        "has the sums of other work: another text, model or other settings; delete it, or name another"
    )]
    Other,
}

impl Problem {
    /// With the file.
    pub fn at(self, path: &Path) -> ImatrixError {
        ImatrixError::File { path: path.into(), problem: self }
    }

    /// With the entry.
    pub(super) fn of(self, entry: &str) -> Problem {
        Problem::In { entry: entry.into(), problem: Box::new(self) }
    }

    /// Of a file of another kind.
    pub(super) fn foreign(what: impl Into<String>) -> Problem {
        Problem::Foreign { what: what.into() }
    }
}
