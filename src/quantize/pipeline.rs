//! Read, quantize and write, at once and in bounded memory.

use super::Plan;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::compute::Compute;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a conversion stopped.
#[derive(Debug, Error)]
pub enum QuantizeError {
    /// The input cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What a conversion tells while it works.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Weights done, those of an earlier run included.
    pub weights_done: u64,
    /// Weights in all.
    pub weights_total: u64,
    /// The tensor that is being written, an index into the plan.
    pub tensor_idx: usize,
}

/// Writes the GGUF that `plan` describes to `output` (for a plan of several parts,
/// `NAME-00001-of-0000N.gguf` beside it) and returns the paths of the files.
///
/// # Errors
/// If the input cannot be read or has weights that are not finite, if the output cannot be written
/// or does not fit on the disk, or if another run is writing it. What was finished stays, and the
/// next call resumes there.
pub fn quantize(
    checkpoint: &Checkpoint,
    plan: &Plan,
    output: &Path,
    compute: &Compute,
    progress: impl FnMut(Progress) + Send,
) -> Result<Vec<PathBuf>, QuantizeError> {
    let _ = (checkpoint, plan, output, compute, progress);
    unimplemented!()
}
