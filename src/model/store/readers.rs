//! Threads that read from the disk while others compute.

use super::super::ReadError;
use super::super::weights::{Expert, Layer};
use super::place::{Files, Place};
use crate::gguf::Pages;
use crossbeam_channel::{Receiver, Sender, unbounded};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use std::sync::Arc;
use std::time::Instant;

/// Threads that read: as many requests as fill the queue of a fast disk. They hardly compute.
const N_THREADS: usize = 8;

/// An expert that is to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    pub layer_idx: usize,
    pub expert_idx: usize,
    /// Whether it stays in memory.
    pub stays: bool,
}

/// An expert that was read.
pub struct Arrival {
    pub request: Request,
    /// The buffer; none if there was none, and the read failed.
    pub pages: Option<Pages>,
    pub result: Result<(), ReadError>,
}

/// A pool of reading threads, and what they have read.
pub struct Readers {
    pool: ThreadPool,
    sender: Sender<Arrival>,
    arrivals: Receiver<Arrival>,
}

/// A read on its way. However it ends, its arrival is told: nobody waits for ever.
struct Reading {
    sender: Sender<Arrival>,
    arrival: Option<Arrival>,
}

impl Readers {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the system refuses them.
    pub fn new() -> Result<Readers, ThreadPoolBuildError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(N_THREADS)
            .thread_name(|idx| format!("gatefold-read-{idx}"))
            // A read that has panicked is told of as one that has failed.
            .panic_handler(|_| ())
            .build()?;
        let (sender, arrivals) = unbounded();
        Ok(Readers { pool, sender, arrivals })
    }

    /// Reads a place, and waits for it.
    ///
    /// # Errors
    /// If that fails.
    pub fn read(&self, place: &Place) -> Result<Arc<Pages>, ReadError> {
        let mut pages = new_pages(place, place.n_bytes())?;
        self.pool.install(|| read(place, &mut pages))?;
        Ok(Arc::new(pages))
    }

    /// Begins to read an expert into `pages`, or where there are none yet, into new ones of `n_bytes`.
    pub fn begin(&self, request: Request, place: Arc<Place>, pages: Option<Pages>, n_bytes: usize) {
        let result = Err(place.failed("the thread that read has ended"));
        let arrival = Some(Arrival { request, pages, result });
        let mut reading = Reading { sender: self.sender.clone(), arrival };
        self.pool.spawn(move || {
            if let Some(Arrival { pages, result, .. }) = &mut reading.arrival {
                let there = pages.take().map_or_else(|| new_pages(&place, n_bytes), Ok);
                *result = there.and_then(|there| read(&place, pages.insert(there)));
            }
        });
    }

    /// What has been read by now.
    pub fn arrived(&self) -> Option<Arrival> {
        self.arrivals.try_recv().ok()
    }

    /// What is read next of what was begun.
    pub fn wait(&self) -> Arrival {
        self.arrivals.recv().expect("the readers have a sender themselves")
    }
}

/// Bytes per second in which experts come from the disk, one after the other: so many bytes of them, from all
/// over the layers.
///
/// # Errors
/// If a file cannot be read, or the system refuses threads.
pub fn disk_rate(files: &mut Files<'_>, layers: &[Layer], n_bytes: u64) -> Result<f64, ReadError> {
    let readers = Readers::new().map_err(|error| files.failed(error))?;
    let experts: Vec<&Expert> = layers.iter().flat_map(|layer| &layer.experts).collect();
    let place = |expert: &Expert| files.place(&expert.matrices());
    let places = experts.into_iter().map(place).collect::<Result<Vec<_>, _>>()?;
    let largest = places.iter().map(Place::n_bytes).max().unwrap_or(0);
    let n_places = usize::try_from(n_bytes / largest.max(1) as u64).unwrap_or(usize::MAX);
    let n_places = n_places.clamp(1, places.len().max(1));
    let some = (0..n_places).filter_map(|idx| places.get(idx * places.len() / n_places));
    let mut pages = Pages::zeroed(largest).map_err(|error| files.failed(error))?;
    // The first time, memory is mapped.
    some.clone().take(1).try_for_each(|place| readers.pool.install(|| read(place, &mut pages)))?;
    let (start, mut n_read) = (Instant::now(), 0);
    for place in some {
        readers.pool.install(|| read(place, &mut pages))?;
        n_read += place.n_bytes();
    }
    Ok(n_read as f64 / start.elapsed().as_secs_f64().max(f64::MIN_POSITIVE))
}

impl Drop for Reading {
    fn drop(&mut self) {
        // Whoever is gone does not ask.
        let _ = self.arrival.take().map(|arrival| self.sender.send(arrival));
    }
}

/// Memory that a place is read into.
fn new_pages(place: &Place, n_bytes: usize) -> Result<Pages, ReadError> {
    Pages::zeroed(n_bytes).map_err(|error| place.failed(error))
}

/// Reads the pieces of a place, in threads of the pool that this runs in.
fn read(place: &Place, pages: &mut Pages) -> Result<(), ReadError> {
    let pieces = place.pieces(pages).into_par_iter().with_max_len(1);
    pieces.try_for_each(|piece| piece.read())
}
