//! What can go wrong.

use gatefold::architecture::ArchitectureError;
use gatefold::gguf::WriteError;
use gatefold::model::ModelError;
use gatefold::text::decimal;
use std::path::PathBuf;
use thiserror::Error;

/// Why nothing was measured, or no file made.
#[derive(Debug, Error)]
pub enum BenchError {
    /// The model or its caches are at fault.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Sequences would be longer than the model can take.
    #[error(
        "the model was made for contexts of up to {context_len} tokens, and these tests take more: {tests}; use a smaller -p, -n or -d"
    )]
    Context {
        /// Tokens of the model's context.
        context_len: usize,
        /// The tests, with the tokens that they take.
        tests: String,
    },
    /// There are no tests.
    #[error("there is nothing to measure: -p and -n are 0, or -b and -d leave nothing for -n")]
    Nothing,
    /// The sequences would not fit into memory.
    #[error(
        "the keys and values of all tests take {}B, and {}B of memory are available; use a smaller -d or -b",
        decimal(*needed), decimal(*available)
    )]
    Memory {
        /// Bytes of all caches.
        needed: u64,
        /// Bytes that there are.
        available: u64,
    },
    /// The shape of the synthetic model is none.
    #[error(transparent)]
    Shape(#[from] ArchitectureError),
    /// The synthetic model cannot be written.
    #[error("{}: {error}; --synthetic-dir names another folder for it", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        error: WriteError,
    },
    /// The disk is too small for the synthetic model.
    #[error(
        "{}: the synthetic model takes {}B, and the disk has {}B left; use fewer --layers, or another --synthetic-dir",
        path.display(), decimal(*needed), decimal(*available)
    )]
    Space {
        /// The folder.
        path: PathBuf,
        /// Bytes of the file.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// Another process is at it.
    #[error("{}: another run is writing it now; wait for that, or use another --synthetic-dir", .0.display())]
    Busy(PathBuf),
}
