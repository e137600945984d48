//! How many answers the engine has at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places of answers in the engine: those that are worked on, and those that wait.
pub(super) struct Places {
    n_running: usize,
    n_most: usize,
    n_taken: AtomicUsize,
}

/// A place, which is free again when this is dropped: with the last event of its answer, whether or not
/// that was read.
pub(super) struct Place(Arc<Places>);

impl Places {
    /// For so many answers that are worked on, and so many that wait.
    pub fn new(max_running: usize, max_queue: usize) -> Places {
        let n_most = max_running.saturating_add(max_queue);
        Places { n_running: max_running, n_most, n_taken: AtomicUsize::new(0) }
    }

    /// Places for all answers of a request, or none. One that wants more than there are gets them if it
    /// is alone.
    pub fn take(self: &Arc<Places>, n_answers: usize) -> Option<Vec<Place>> {
        let taken = |n_taken: usize| {
            let n_then = n_taken + n_answers;
            (n_taken == 0 || n_then <= self.n_most).then_some(n_then)
        };
        self.n_taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, taken).ok()?;
        Some((0..n_answers).map(|_| Place(Arc::clone(self))).collect())
    }

    /// Whether there is no place left.
    pub fn are_full(&self) -> bool {
        self.n_taken() >= self.n_most.max(1)
    }

    /// How many are taken.
    pub fn n_taken(&self) -> usize {
        self.n_taken.load(Ordering::SeqCst)
    }

    /// How many answers are worked on together, at most.
    pub fn n_running(&self) -> usize {
        self.n_running
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.n_taken.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_together_and_given_back_one_by_one() {
        let places = Arc::new(Places::new(2, 1));
        let mut two = places.take(2).unwrap();
        assert!(places.take(2).is_none());
        let one = places.take(1).unwrap();
        assert!(places.are_full() && places.take(1).is_none());
        two.pop();
        assert!(!places.are_full() && places.take(1).is_some());
        drop((one, two));
        assert_eq!(places.n_taken(), 0);
        let many = places.take(7).unwrap();
        assert_eq!((many.len(), places.n_taken()), (7, 7));
        assert!(places.take(1).is_none());
    }
}
