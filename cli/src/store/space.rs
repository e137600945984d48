//! How much a folder may have.

use super::error::StoreError;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a file takes on a disk, at least, and by what that grows.
const BLOCK: u64 = 4096;

/// What a file of so many bytes takes on a disk.
pub(super) fn on_disk(n_bytes: u64) -> u64 {
    n_bytes.max(1).next_multiple_of(BLOCK)
}

/// The bytes that all files together may have, and those that they have.
#[derive(Clone, Debug)]
pub(super) struct Space {
    most: u64,
    n_bytes: Arc<AtomicU64>,
}

/// What a file takes of it on its way; where it is dropped, that is free again.
#[derive(Debug)]
pub(super) struct Taken {
    space: Space,
    /// Whether it may be more than there is.
    is_in_any_case: bool,
    n_bytes: u64,
}

impl Space {
    /// One of so many bytes, with files of `n_bytes` in it.
    pub fn new(most: u64, n_bytes: u64) -> Space {
        Space { most, n_bytes: Arc::new(n_bytes.into()) }
    }

    /// Nothing so far.
    pub fn taken(&self) -> Taken {
        Taken { space: self.clone(), is_in_any_case: false, n_bytes: 0 }
    }

    /// Nothing so far, of what may become more than there is.
    pub fn taken_in_any_case(&self) -> Taken {
        Taken { space: self.clone(), is_in_any_case: true, n_bytes: 0 }
    }

    /// What took `before` takes `after` now, whether or not there is so much.
    pub fn exchange(&self, before: u64, after: u64) {
        self.n_bytes.fetch_add(after, Ordering::SeqCst);
        self.give_back(before);
    }

    /// So many bytes are deleted.
    pub fn give_back(&self, n_bytes: u64) {
        self.n_bytes.fetch_sub(n_bytes, Ordering::SeqCst);
    }
}

impl Taken {
    /// Takes as much more as it lacks of `n_bytes`.
    ///
    /// # Errors
    /// If there is not so much.
    pub fn grow_to(&mut self, n_bytes: u64) -> Result<(), StoreError> {
        let n_more = n_bytes.saturating_sub(self.n_bytes);
        self.n_bytes += n_more;
        let before = self.space.n_bytes.fetch_add(n_more, Ordering::SeqCst);
        match self.is_in_any_case || before.saturating_add(n_more) <= self.space.most {
            true => Ok(()),
            false => Err(StoreError::Full { most: self.space.most }),
        }
    }

    /// Its file is kept.
    pub fn keep(mut self) {
        self.n_bytes = 0;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.space.give_back(self.n_bytes);
    }
}
