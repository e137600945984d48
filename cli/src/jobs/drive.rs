//! The event loop of jobs: keeps a worker busy until its source has no more.

use super::worker::Worker;
use gatefold::engine::{Event, RequestId};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a worker's requests come from and its results go to, bit by bit.
pub trait JobSource {
    /// Why it cannot go on.
    type Error;

    /// Submits more requests, if there are any that the worker should know of now. It is called
    /// before every step.
    ///
    /// # Errors
    /// If there is no going on.
    fn submit(&mut self, worker: &mut dyn Worker) -> Result<(), Self::Error>;

    /// Takes note of what became of a request.
    fn on_event(&mut self, id: RequestId, event: Event);

    /// Flushes finished results to disk. It is called after every step.
    ///
    /// # Errors
    /// If the disk is full, say.
    fn flush(&mut self) -> Result<(), Self::Error>;

    /// Whether there is nothing more to submit.
    fn is_submitted(&self) -> bool;
}

/// How work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is done.
    Done,
    /// All of it is done that could be: some failed, and the results say why.
    SomeFailed,
    /// It was interrupted, and what was finished is kept.
    Interrupted,
}

impl Outcome {
    /// Of work that has come to its end.
    pub fn of(is_whole: bool) -> Outcome {
        if is_whole { Outcome::Done } else { Outcome::SomeFailed }
    }
}

/// Works until all is done, or `interrupted`; returns whether it is done.
///
/// # Errors
/// Those of the source.
pub fn drive<S: JobSource>(
    source: &mut S,
    worker: &mut dyn Worker,
    interrupted: &AtomicBool,
) -> Result<bool, S::Error> {
    while !interrupted.load(Ordering::Relaxed) {
        source.submit(worker)?;
        if !worker.is_idle() {
            worker.step(&mut |id, event| source.on_event(id, event));
        }
        source.flush()?;
        if source.is_submitted() && worker.is_idle() {
            return Ok(true);
        }
    }
    Ok(false)
}
