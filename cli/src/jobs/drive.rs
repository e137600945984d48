//! Keeps an engine busy until all work is done.

use gatefold::engine::{Engine, Event, RequestId};
use std::sync::atomic::{AtomicBool, Ordering};

/// Work for an engine, which comes bit by bit and gives results the same way.
pub trait Work {
    /// Why it cannot go on.
    type Error;

    /// Submits more requests, if there are any that the engine should know of now. It is called
    /// before every step.
    ///
    /// # Errors
    /// If there is no going on.
    fn submit(&mut self, engine: &mut Engine) -> Result<(), Self::Error>;

    /// Hears what became of a request.
    fn hear(&mut self, id: RequestId, event: Event);

    /// Puts what is finished in safety. It is called after every step.
    ///
    /// # Errors
    /// If the disk is full, say.
    fn keep(&mut self) -> Result<(), Self::Error>;

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

/// Works until all is done, or `interrupted`; returns whether it is done.
///
/// # Errors
/// Those of the work.
pub fn drive<W: Work>(
    work: &mut W,
    engine: &mut Engine,
    interrupted: &AtomicBool,
) -> Result<bool, W::Error> {
    while !interrupted.load(Ordering::Relaxed) {
        work.submit(engine)?;
        engine.step(&mut |id, event| work.hear(id, event));
        work.keep()?;
        if work.is_submitted() && engine.is_idle() {
            return Ok(true);
        }
    }
    Ok(false)
}
