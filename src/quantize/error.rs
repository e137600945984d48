//! Why a conversion stopped.

use crate::checkpoint::CheckpointError;
use crate::files::ClaimError;
use crate::gguf::WriteError;
use crate::text::{bytes, printable};
use gatefold_quant::DynFormat;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a conversion stopped, or did not begin.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// The input cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The plan makes no GGUF.
    #[error(transparent)]
    Plan(#[from] WriteError),
    /// A row that does not fit the memory.
    #[error(
        "tensor {} has rows of {n_cols} weights, and {most} are the most that can be converted",
        printable(tensor)
    )]
    Wide {
        /// Which tensor.
        tensor: String,
        /// Weights per row.
        n_cols: usize,
        /// The most.
        most: usize,
    },
    /// NaN or infinity.
    #[error(
        "{}: in tensor {}, weight {position:?} is {weight}, and no finite number; the file is damaged, download it again",
        printable(path.display()), printable(tensor)
    )]
    NotFinite {
        /// The file that holds it.
        path: PathBuf,
        /// Which tensor.
        tensor: String,
        /// Where in the tensor, outermost index first.
        position: Vec<usize>,
        /// What it is.
        weight: f32,
    },
    /// A weight beyond what the format can express.
    #[error(
        "{}: in tensor {}, weight {position:?} is {weight:e}, and {format} ends at {largest:e}; give the tensor another type with `tensor_types`, BF16 or F32",
        printable(path.display()), printable(tensor)
    )]
    TooLarge {
        /// The file that holds it.
        path: PathBuf,
        /// Which tensor.
        tensor: String,
        /// Where in the tensor, outermost index first.
        position: Vec<usize>,
        /// What it is.
        weight: f32,
        /// What it shall become.
        format: &'static DynFormat,
        /// The largest magnitude that blocks of the format are sure to hold.
        largest: f32,
    },
    /// The output is there already.
    #[error("{} exists; pass `overwrite` to replace it, or name another file", printable(path.display()))]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The output would replace what is read.
    #[error(
        "{} is a file of the input, or a link to one; name another file to write",
        printable(path.display())
    )]
    IsInput {
        /// Which file.
        path: PathBuf,
    },
    /// The output's folder is missing.
    #[error("there is no folder {}; make it first, or name another file to write", printable(path.display()))]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// The output, an unfinished file or the journal cannot be had for this run alone.
    #[error(transparent)]
    Claim(#[from] ClaimError),
    /// The disk is too small.
    #[error(
        "{} has {} free, and {} are still to be written; make room there, or name a file on another disk",
        printable(path.display()), bytes(*available), bytes(*needed)
    )]
    Space {
        /// The folder.
        path: PathBuf,
        /// Bytes to be written.
        needed: u64,
        /// Bytes that can be.
        available: u64,
    },
    /// A file beside the output, or the output itself, cannot be made, read or renamed.
    #[error("{} cannot be written: {error}", printable(path.display()))]
    Output {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Writing failed midway.
    #[error(
        "{} cannot be written beyond {} of {}: {error}; what is finished is kept, and the same command goes on from there",
        printable(path.display()), bytes(*written), bytes(*planned)
    )]
    Midway {
        /// Which file.
        path: PathBuf,
        /// Bytes of all files written.
        written: u64,
        /// Bytes of all files as planned.
        planned: u64,
        /// What the system says.
        error: io::Error,
    },
}

impl QuantizeError {
    /// For `map_err`: the system's word on the file at `path`.
    pub(super) fn output(path: &std::path::Path) -> impl Fn(io::Error) -> QuantizeError {
        move |error| QuantizeError::Output { path: path.to_path_buf(), error }
    }
}
