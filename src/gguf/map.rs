//! Bytes of a mapped file, or of memory: the one place with `unsafe` in this crate.
//!
//! A mapping is read-only, but it is a window on the file, not a copy: whoever overwrites or
//! truncates the file while it is mapped changes the weights under a running model, and reading
//! past a new, nearer end kills the process with SIGBUS. Replace a model file by renaming a new one
//! over it; the mapping then keeps the old one.

#![allow(unsafe_code)]

use super::direct::Pages;
use crate::files::FileId;
use memmap2::Mmap;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A range of a mapped file (or of memory, whole pages among them), kept alive by whoever holds it.
///
/// Dereferences to the bytes; clones and slices share them.
#[derive(Clone)]
pub struct Bytes {
    owner: Owner,
    range: Range<usize>,
}

#[derive(Clone)]
enum Owner {
    Map(Arc<Mapped>),
    Heap(Arc<Vec<u8>>),
    Pages(Arc<Pages>),
    Static(&'static [u8]),
}

/// A file that is mapped from its first byte on, and which it is.
pub(crate) struct Mapped {
    map: Mmap,
    /// Where it lay when it was mapped.
    pub path: PathBuf,
    /// Which one it is.
    pub id: FileId,
}

impl Mapped {
    /// Bytes that were mapped: as many as the file had.
    pub fn len(&self) -> usize {
        self.map.len()
    }
}

impl Bytes {
    /// Maps a regular file.
    pub(super) fn map(path: &Path) -> io::Result<Bytes> {
        let file = File::open(path)?;
        let id = FileId::of(&file)?;
        // SAFETY: the mapping is private to this value and only ever read. That the file stays as
        // it is while it is mapped cannot be had from the operating system; the module's text says
        // what happens otherwise.
        let map = unsafe { Mmap::map(&file)? };
        // Large pages come in with fewer faults, and reading them all for every token looks up fewer
        // addresses. A system that has none says so, and nothing is lost.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        let range = 0..map.len();
        let mapped = Mapped { map, path: path.to_path_buf(), id };
        Ok(Bytes { range, owner: Owner::Map(Arc::new(mapped)) })
    }

    /// The file that these are mapped from, and where they lie in it; none for memory.
    pub(crate) fn in_file(&self) -> Option<(&Arc<Mapped>, Range<usize>)> {
        match &self.owner {
            Owner::Map(mapped) => Some((mapped, self.range.clone())),
            Owner::Heap(_) | Owner::Pages(_) | Owner::Static(_) => None,
        }
    }

    /// The bytes in `range` of these, without a copy.
    ///
    /// # Panics
    /// If `range` reaches past the end.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= self.len(), "{range:?} of {self:?}");
        let start = self.range.start;
        Bytes { owner: self.owner.clone(), range: start + range.start..start + range.end }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let all: &[u8] = match &self.owner {
            Owner::Map(mapped) => &mapped.map,
            Owner::Heap(vec) => vec,
            Owner::Pages(pages) => pages.as_bytes(),
            Owner::Static(bytes) => bytes,
        };
        &all[self.range.clone()]
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes { range: 0..bytes.len(), owner: Owner::Heap(Arc::new(bytes)) }
    }
}

impl From<Arc<Pages>> for Bytes {
    fn from(pages: Arc<Pages>) -> Bytes {
        Bytes { range: 0..pages.as_bytes().len(), owner: Owner::Pages(pages) }
    }
}

impl From<&'static [u8]> for Bytes {
    fn from(bytes: &'static [u8]) -> Bytes {
        Bytes { range: 0..bytes.len(), owner: Owner::Static(bytes) }
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}
