//! Why metadata describes no model that can be run.

use crate::gguf::GgufError;
use crate::text::printable;
use thiserror::Error;

/// Why metadata describes no model that can be run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchitectureError {
    /// A key is missing or has a value of another type.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// A key has a value that cannot be run.
    #[error("{file}: {key} is {}; expected {expected}", printable(found))]
    Metadata {
        /// The file.
        file: String,
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// What it may be.
        expected: String,
    },
}
