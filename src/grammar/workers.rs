//! Work that is done beside whoever asks for it, and waited for no longer than it is worth.
//!
//! Limits on sources keep compiling them short. What they miss cannot be stopped, and must hold neither
//! whoever asks nor the places of others: it is given up, and only so much of it may be going on.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

/// Sources that are compiled at once.
const MOST_AT_ONCE: usize = 2;

/// Those that may be going on beside, since they were given up.
const MOST_GIVEN_UP: usize = 3;

/// How long a place is waited for, and then the work: many times what any takes within the limits.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What a thread has that compiles: its calls nest as deep as a schema's parts refer to each other.
const STACK_BYTES: usize = 256 << 20;

/// Why work was not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum WorkError {
    /// Other work has all places.
    Busy,
    /// It took too long.
    Late,
    /// It gave up, or could not begin.
    Failed,
}

/// Threads that are at work.
pub(super) struct Workers {
    patience: Duration,
    threads: Arc<Threads>,
}

#[derive(Default)]
struct Threads {
    running: Mutex<Running>,
    freed: Condvar,
}

/// What is going on, by its number, and whether it was given up.
#[derive(Default)]
struct Running {
    is_given_up: BTreeMap<u64, bool>,
    n_begun: u64,
}

/// A place among them, which becomes free when it is dropped.
struct Place {
    threads: Arc<Threads>,
    number: u64,
}

impl Running {
    fn n_given_up(&self) -> usize {
        self.is_given_up.values().filter(|&&is_given_up| is_given_up).count()
    }

    /// Whether what is waited for has all places.
    fn is_full(&self) -> bool {
        self.is_given_up.len() - self.n_given_up() >= MOST_AT_ONCE
    }
}

impl Threads {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if one comes free in time.
    fn place(self: &Arc<Threads>, patience: Duration) -> Result<Place, WorkError> {
        let is_closed =
            |running: &mut Running| running.n_given_up() < MOST_GIVEN_UP && running.is_full();
        let waited = self.freed.wait_timeout_while(self.running(), patience, is_closed);
        let (mut running, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if running.is_full() || running.n_given_up() >= MOST_GIVEN_UP {
            return Err(WorkError::Busy);
        }
        let number = running.n_begun;
        running.n_begun += 1;
        running.is_given_up.insert(number, false);
        Ok(Place { threads: Arc::clone(self), number })
    }

    /// Leaves the work with this number to itself, if it is still going on.
    fn give_up(&self, number: u64) {
        if let Some(is_given_up) = self.running().is_given_up.get_mut(&number) {
            *is_given_up = true;
        }
        self.freed.notify_all();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.threads.running().is_given_up.remove(&self.number);
        self.threads.freed.notify_all();
    }
}

impl Workers {
    /// None at work, each of which will be waited for that long.
    pub fn new(patience: Duration) -> Workers {
        Workers { patience, threads: Arc::default() }
    }

    /// What the work comes to. Its time begins when it has its place.
    pub fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, WorkError> {
        let place = self.threads.place(self.patience)?;
        let number = place.number;
        let (sender, receiver) = mpsc::channel();
        let thread = thread::Builder::new().name("gatefold-form".into()).stack_size(STACK_BYTES);
        let work = move || {
            let done = work();
            drop(place);
            // Nobody waits for what comes late.
            sender.send(done).ok();
        };
        thread.spawn(work).map_err(|_| WorkError::Failed)?;
        receiver.recv_timeout(self.patience).map_err(|error| match error {
            mpsc::RecvTimeoutError::Timeout => {
                self.threads.give_up(number);
                WorkError::Late
            }
            mpsc::RecvTimeoutError::Disconnected => WorkError::Failed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_holds_nobody_and_only_so_much_of_it_goes_on() {
        let workers = Workers::new(Duration::from_millis(200));
        let (end, is_over) = mpsc::channel::<()>();
        let is_over = Arc::new(Mutex::new(is_over));
        let endless = || {
            let is_over = Arc::clone(&is_over);
            move || is_over.lock().unwrap().recv().unwrap_or_default()
        };
        for _ in 0..MOST_GIVEN_UP {
            assert_eq!(workers.run(endless()), Err(WorkError::Late));
            // A place is free at once, unless too much was given up.
            if workers.threads.running().n_given_up() < MOST_GIVEN_UP {
                assert_eq!(workers.run(|| 1), Ok(1));
            }
        }
        assert_eq!(workers.run(|| 1), Err(WorkError::Busy));
        drop(end);
        while !workers.threads.running().is_given_up.is_empty() {
            thread::yield_now();
        }
        assert_eq!(workers.run(|| 1), Ok(1));
    }

    #[test]
    fn who_finds_no_place_is_told_so_and_the_time_of_work_begins_with_its_place() {
        let patience = Duration::from_secs(2);
        let workers = Workers::new(patience);
        let busy = move || thread::sleep(patience * 3 / 5);
        thread::scope(|scope| {
            let first: Vec<_> =
                (0..MOST_AT_ONCE).map(|_| scope.spawn(|| workers.run(busy))).collect();
            while workers.threads.running().is_given_up.len() < MOST_AT_ONCE {
                thread::yield_now();
            }
            assert_eq!(workers.threads.place(Duration::ZERO).err(), Some(WorkError::Busy));
            // It waits for its place, and works, longer than either alone may take.
            assert_eq!(workers.run(busy), Ok(()));
            assert!(first.into_iter().all(|thread| thread.join().unwrap() == Ok(())));
        });
    }
}
