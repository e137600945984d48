//! What the machine can do at most: the same threads read memory, and multiply registers; and the disk gives
//! what a model that is larger than memory asks it for.

use gatefold::Compute;
use gatefold::gguf::{Bytes, Gguf};
use gatefold::machine::Machine;
use gatefold::model::Model;
use rayon::prelude::*;
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Rates that no test can exceed, but for models that fit into caches.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Bytes read from memory per second.
    pub bytes: f64,
    /// Int8 multiply-adds per second.
    pub multiply_adds: f64,
    /// Bytes read from the disk per second, where the model is larger than memory.
    pub disk_bytes: Option<f64>,
}

impl Rates {
    /// Half-way between two.
    pub fn mean(self, other: Rates) -> Rates {
        Rates {
            bytes: (self.bytes + other.bytes) / 2.0,
            multiply_adds: (self.multiply_adds + other.multiply_adds) / 2.0,
            disk_bytes: self.disk_bytes.zip(other.disk_bytes).map(|(one, two)| (one + two) / 2.0),
        }
    }
}

/// How long each thing is done: long against the start of the threads, short against a test.
const DURATION: Duration = Duration::from_millis(30);

/// What a thread reads at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Bytes that are read from the disk at a time, at most: a few experts.
const DISK_BYTES: u64 = 256 << 20;

/// Less than this may stay in a cache from one measurement to the next.
const MIN_BYTES: usize = 512 << 20;

/// More than this makes no difference.
const MAX_BYTES: usize = 2 << 30;

/// Measures rates.
pub struct Ceilings<'a> {
    compute: &'a Compute,
    /// What is read from the disk.
    on_disk: Option<(&'a Gguf, &'a Model)>,
    /// The memory that is read, round and round.
    pieces: Vec<Bytes>,
    next: AtomicUsize,
}

impl<'a> Ceilings<'a> {
    /// Reads the weights where the file is mapped, or where they are few, memory of its own. Of a model
    /// that is larger than memory, it reads what always is there.
    pub fn new(compute: &'a Compute, gguf: &'a Gguf, model: &'a Model) -> Ceilings<'a> {
        let pieces_of = |bytes: &Bytes| {
            let n_pieces = bytes.len() / PIECE_BYTES;
            let piece = |idx| bytes.slice(idx * PIECE_BYTES..(idx + 1) * PIECE_BYTES);
            (0..n_pieces).map(piece).collect::<Vec<_>>()
        };
        let is_mapped = model.residence().is_none();
        let mut pieces: Vec<Bytes> = if is_mapped {
            // Tests read no more than a few rows of the embedding: it may not be in memory.
            let tensors = gguf.tensors().filter(|tensor| tensor.name != "token_embd.weight");
            tensors.flat_map(|tensor| pieces_of(&tensor.bytes)).collect()
        } else {
            let layers = model.layers().iter();
            let attention =
                layers.flat_map(|layer| [&layer.q, &layer.k, &layer.v, &layer.attention_output]);
            attention.flat_map(|matrix| pieces_of(&matrix.bytes)).collect()
        };
        pieces.truncate(MAX_BYTES / PIECE_BYTES);
        let is_enough = pieces.len() * PIECE_BYTES >= MIN_BYTES;
        if pieces.is_empty() || is_mapped && !is_enough {
            // Not zeros: the system would show the same page of them everywhere.
            let piece = |_| Bytes::from(vec![1; PIECE_BYTES]);
            pieces = (0..affordable_bytes() / PIECE_BYTES).map(piece).collect();
        }
        let on_disk = (!is_mapped).then_some((gguf, model));
        let ceilings = Ceilings { compute, on_disk, pieces, next: AtomicUsize::new(0) };
        // The first time, pages are mapped.
        compute.run(|| ceilings.pieces.par_iter().for_each(|piece| ceilings.read_once::<1>(piece)));
        ceilings
    }

    /// The rates at this moment. Memory is read in one stream per thread and in several, whichever
    /// is faster.
    pub fn measure(&self) -> Rates {
        let bytes = [self.read::<1>(), self.read::<4>(), self.read::<8>()];
        let multiply_adds = self.rate(|| self.compute.isa.int8_peak());
        let disk_bytes = self.on_disk.and_then(|(gguf, model)| {
            // A disk that fails is for the tests to tell.
            model.disk_rate(gguf, DISK_BYTES).ok().flatten()
        });
        Rates { bytes: bytes.into_iter().fold(0.0, f64::max), multiply_adds, disk_bytes }
    }

    fn read<const STREAMS: usize>(&self) -> f64 {
        self.rate(|| {
            let idx = self.next.fetch_add(1, Ordering::Relaxed);
            let piece = &self.pieces[idx % self.pieces.len()];
            self.read_once::<STREAMS>(piece);
            piece.len() as u64
        })
    }

    fn read_once<const STREAMS: usize>(&self, piece: &[u8]) {
        black_box(self.compute.isa.read_bandwidth::<STREAMS>(piece));
    }

    /// How much of what `work` counts all threads together do per second.
    fn rate(&self, work: impl Fn() -> u64 + Sync) -> f64 {
        let start = Instant::now();
        let amounts = self.compute.run(|| {
            rayon::broadcast(|_| {
                let mut amount = 0;
                while start.elapsed() < DURATION {
                    amount += work();
                }
                amount
            })
        });
        amounts.into_iter().sum::<u64>() as f64 / start.elapsed().as_secs_f64()
    }
}

/// Bytes that may be taken for this, at least a piece.
fn affordable_bytes() -> usize {
    let quarter = Machine::this().map_or(u64::MAX, |machine| machine.available_bytes / 4);
    usize::try_from(quarter).unwrap_or(usize::MAX).clamp(PIECE_BYTES, MIN_BYTES)
}
