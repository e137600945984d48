//! Work that is done beside whoever asks for it, and waited for no longer than it is worth.
//!
//! Limits on sources keep compiling them short. What they miss must not hold whoever asks for ever.

use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// Sources that are compiled at once.
const MOST_AT_ONCE: usize = 2;

/// How long each is waited for: many times what any takes within the limits.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What a thread has that compiles: its calls nest as deep as a schema's parts refer to each other.
const STACK_BYTES: usize = 256 << 20;

/// Why work was not done.
pub(super) enum Undone {
    /// It, or what was before it, took too long.
    Late,
    /// It gave up, or could not begin.
    Failed,
}

/// Threads that are at work.
#[derive(Default)]
pub(super) struct Workers {
    running: Arc<(Mutex<usize>, Condvar)>,
}

/// A place among them, which becomes free when it is dropped.
struct Place(Arc<(Mutex<usize>, Condvar)>);

impl Drop for Place {
    fn drop(&mut self) {
        let (running, freed) = &*self.0;
        *running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        freed.notify_one();
    }
}

impl Workers {
    /// What the work comes to.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Undone> {
        let deadline = Instant::now() + PATIENCE;
        let place = self.place()?;
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        let work = move || {
            let done = work();
            drop(place);
            // Nobody waits for what comes late.
            sender.send(done).ok();
        };
        thread.spawn(work).map_err(|_| Undone::Failed)?;
        let left = deadline.saturating_duration_since(Instant::now());
        receiver.recv_timeout(left).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => Undone::Late,
            mpsc::RecvTimeoutError::Disconnected => Undone::Failed,
        })
    }

    fn place(&self) -> Result<Place, Undone> {
        let (running, freed) = &*self.running;
        let running = running.lock().unwrap_or_else(PoisonError::into_inner);
        let waited =
            freed.wait_timeout_while(running, PATIENCE, |running| *running == MOST_AT_ONCE);
        let (mut running, outcome) = waited.unwrap_or_else(PoisonError::into_inner);
        if outcome.timed_out() {
            return Err(Undone::Late);
        }
        *running += 1;
        Ok(Place(Arc::clone(&self.running)))
    }
}
