//! Read, quantize and write, at once and in bounded memory.
//!
//! ```text
//!              slices that are free
//!        +--------------------------------+
//!        v                                |
//!     reader --> workers (all cores) --> writer --> committer
//!        |   slices           ^           ^   finished tensors: sync, journal
//!        +--------------------|-----------+
//!              where each slice will come out, in order
//! ```
//!
//! A fixed number of slices go round, and the reader keeps one expert at most, so memory is bounded
//! whatever the model. With each slice the reader hands the workers one end of a channel and the
//! writer the other, in the order of the file: the writer waits for the slice that is next, while
//! the others are under way.

use super::sink::{Sink, commit};
use super::slice::{Cut, Slice};
use super::{Output, Plan, QuantizeError};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::compute::Compute;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread::{self, ScopedJoinHandle};

/// What a conversion tells while it works: first before it reads anything, then with every slice
/// written.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Weights done, those of an earlier run included.
    pub weights_done: u64,
    /// Weights in all.
    pub weights_total: u64,
    /// The tensor that is being written, an index into the plan; where all are, their number.
    pub tensor_idx: usize,
}

/// A slice, or why there is none.
type Converted = Result<Slice, QuantizeError>;

/// Writes the GGUF that `plan` describes to `output` and returns the paths of its files.
///
/// The bytes depend on `checkpoint` and `plan` alone, not on the threads or the instruction set,
/// nor on how often the work was interrupted.
///
/// # Errors
/// If the input cannot be read or has weights that are not finite or too large, or if the output
/// cannot be written. What was finished stays, and the next call resumes there.
pub fn quantize(
    checkpoint: &Checkpoint,
    plan: &Plan,
    mut output: Output,
    compute: &Compute,
    progress: impl FnMut(Progress),
) -> Result<Vec<PathBuf>, QuantizeError> {
    let cut = Cut::new(checkpoint, plan, compute.n_threads())?;
    let n_finished = output.n_finished();
    let files = Output::unnamed(&output.files);
    let (journal, tensors) = (&mut output.journal, &output.tensors);

    thread::scope(|scope| {
        let (to_reader, free) = bounded(cut.n_slices);
        let (to_workers, slices) = bounded::<(Slice, Sender<Converted>)>(cut.n_slices);
        let (to_writer, in_order) = bounded(cut.n_slices);
        let (to_committer, commits) = unbounded();
        for _ in 0..cut.n_slices {
            to_reader.send(Slice::default()).expect("room for all slices");
        }
        scope.spawn(move || read(checkpoint, n_finished, cut, free, to_workers, to_writer));
        scope.spawn(move || {
            compute.run(|| rayon::broadcast(|_| convert(checkpoint, plan, compute, &slices)))
        });
        let committer = scope.spawn(move || commit(journal, tensors, n_finished, commits));
        let sink = Sink::new(files, n_finished, to_committer);
        let written = sink.and_then(|sink| {
            write(checkpoint, n_finished, sink, in_order, to_reader, &committer, progress)
        });
        let committed = committer.join().unwrap_or_else(|panic| resume_unwind(panic));
        written.and(committed)
    })?;
    output.finish()
}

/// Reads the tensors from `first` on, slice by slice, as long as somebody wants them.
fn read(
    checkpoint: &Checkpoint,
    first: usize,
    cut: Cut,
    free: Receiver<Slice>,
    to_workers: Sender<(Slice, Sender<Converted>)>,
    to_writer: Sender<Receiver<Converted>>,
) {
    let tensors = checkpoint.tensors.iter().enumerate().skip(first);
    let parts = tensors.flat_map(|(tensor_idx, tensor)| {
        tensor.parts.iter().enumerate().map(move |(part_idx, part)| (tensor_idx, part_idx, part))
    });
    for (tensor_idx, part_idx, part) in parts {
        let mut reader = part.reader();
        for rows in cut.slices(part) {
            let Ok(mut slice) = free.recv() else { return };
            let (converted, result) = bounded(1);
            if to_writer.send(result).is_err() {
                return;
            }
            if let Err(error) = slice.read(&mut reader, tensor_idx, part_idx, rows) {
                // Whether anybody listens is no matter: this is the end.
                let _ = converted.send(Err(error));
                return;
            }
            if to_workers.send((slice, converted)).is_err() {
                return;
            }
        }
    }
}

/// Converts slices until there are no more.
fn convert(
    checkpoint: &Checkpoint,
    plan: &Plan,
    compute: &Compute,
    slices: &Receiver<(Slice, Sender<Converted>)>,
) {
    for (mut slice, converted) in slices {
        let (tensor, planned) =
            (&checkpoint.tensors[slice.tensor_idx], &plan.tensors[slice.tensor_idx]);
        let result = slice.convert(tensor, planned, compute.isa).map(|()| slice);
        // After an error elsewhere nobody waits for this slice.
        let _ = converted.send(result);
    }
}

/// Writes the slices as they come, and sends them round again.
fn write(
    checkpoint: &Checkpoint,
    n_finished: usize,
    mut sink: Sink<'_>,
    in_order: Receiver<Receiver<Converted>>,
    to_reader: Sender<Slice>,
    committer: &ScopedJoinHandle<'_, Result<(), QuantizeError>>,
    mut progress: impl FnMut(Progress),
) -> Result<(), QuantizeError> {
    let tensors = &checkpoint.tensors;
    let weights_total = tensors.iter().map(Tensor::n_weights).sum();
    let mut weights_done = tensors[..n_finished].iter().map(Tensor::n_weights).sum();
    progress(Progress { weights_done, weights_total, tensor_idx: n_finished });
    for converted in in_order {
        // A worker that panics sends nothing, and ends this together with all others.
        let Ok(converted) = converted.recv() else { break };
        if committer.is_finished() {
            break;
        }
        let slice = converted?;
        sink.write(&slice.bytes)?;
        let tensor_idx = slice.tensor_idx;
        weights_done += (slice.rows.len() * tensors[tensor_idx].n_cols()) as u64;
        progress(Progress { weights_done, weights_total, tensor_idx });
        // The reader may have read all.
        let _ = to_reader.send(slice);
    }
    Ok(())
}
