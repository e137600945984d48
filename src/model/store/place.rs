//! Where matrices lie in a model's files, and in the buffers that they are read into.

use super::super::ReadError;
use super::super::weights::{Expert, Matrix};
use crate::gguf::{Bytes, DirectFile, Gguf, Mapped, PAGE_LEN, Pages};
use std::fmt::Display;
use std::ops::Range;
use std::sync::Arc;

/// The files of a model, to be read past the page cache.
pub struct Files<'g> {
    gguf: &'g Gguf,
    files: Vec<Arc<DirectFile>>,
}

/// Matrices that are read together, into one buffer.
pub struct Place(Vec<Stretch>);

/// A matrix in a file.
struct Stretch {
    file: Arc<DirectFile>,
    tensor: String,
    bytes: Range<usize>,
}

/// A part of a read, which a thread does by itself.
pub struct Piece<'a> {
    stretch: &'a Stretch,
    offset: usize,
    out: &'a mut [u8],
}

/// Bytes of a piece: enough for a disk to be at its fastest, few enough for an expert to keep all
/// threads busy.
const PIECE_LEN: usize = 2 << 20;

impl<'g> Files<'g> {
    /// Those of `gguf`, opened as they are needed.
    pub fn of(gguf: &'g Gguf) -> Files<'g> {
        Files { gguf, files: Vec::new() }
    }

    /// Where these matrices lie.
    ///
    /// # Errors
    /// If they are in no file, or it cannot be read.
    pub fn place(&mut self, matrices: &[&Matrix]) -> Result<Place, ReadError> {
        let stretches = matrices.iter().map(|matrix| self.stretch(matrix));
        stretches.collect::<Result<_, _>>().map(Place)
    }

    /// Why nothing can be read at all.
    pub fn failed(&self, problem: impl Display) -> ReadError {
        ReadError::new(self.gguf.path(), "the model".into(), problem)
    }

    fn stretch(&mut self, matrix: &Matrix) -> Result<Stretch, ReadError> {
        let in_file = matrix.bytes.in_file();
        let (mapped, bytes) =
            in_file.ok_or_else(|| self.failed("it is in memory, not in a file"))?;
        let file = self.open(mapped)?;
        let tensor = self.gguf.tensors().find(|tensor| {
            let place = tensor.bytes.in_file();
            place.is_some_and(|(other, all)| {
                Arc::ptr_eq(mapped, other) && all.start <= bytes.start && bytes.end <= all.end
            })
        });
        let tensor = tensor.map(|tensor| tensor.name.clone()).unwrap_or_default();
        Ok(Stretch { file, tensor, bytes })
    }

    fn open(&mut self, mapped: &Arc<Mapped>) -> Result<Arc<DirectFile>, ReadError> {
        if let Some(file) = self.files.iter().find(|file| Arc::ptr_eq(&file.mapped, mapped)) {
            return Ok(Arc::clone(file));
        }
        let file = DirectFile::open(mapped);
        let file = file.map_err(|error| ReadError::new(&mapped.path, "the file".into(), error))?;
        self.files.push(Arc::new(file));
        Ok(Arc::clone(&self.files[self.files.len() - 1]))
    }
}

impl Place {
    /// Bytes of the pages that are read.
    pub fn n_bytes(&self) -> usize {
        self.0.iter().map(|stretch| stretch.pages().len()).sum()
    }

    /// Why none of it was read.
    pub fn failed(&self, problem: impl Display) -> ReadError {
        self.0[0].failed(problem)
    }

    /// The pieces of a read into `pages`, which are of [`Self::n_bytes`] at least.
    pub fn pieces<'a>(&'a self, pages: &'a mut Pages) -> Vec<Piece<'a>> {
        let mut rest = pages.as_mut_bytes();
        let pieces = self.0.iter().flat_map(|stretch| {
            let pages = stretch.pages();
            let out = rest.split_off_mut(..pages.len()).expect("the buffer has all pages");
            let offsets = pages.step_by(PIECE_LEN);
            let pieces = offsets.zip(out.chunks_mut(PIECE_LEN));
            pieces.map(move |(offset, out)| Piece { stretch, offset, out })
        });
        pieces.collect()
    }

    /// The matrices in a buffer that was read.
    fn bytes<'a>(&'a self, pages: &'a Arc<Pages>) -> impl Iterator<Item = Bytes> + 'a {
        let mut start = 0;
        self.0.iter().map(move |stretch| {
            let (bytes, pages_range) = (&stretch.bytes, stretch.pages());
            let first = start + bytes.start - pages_range.start;
            start += pages_range.len();
            Bytes::from(Arc::clone(pages)).slice(first..first + bytes.len())
        })
    }

    /// A matrix whose bytes are those in a buffer.
    pub fn matrix(&self, described: &Matrix, pages: &Arc<Pages>) -> Matrix {
        let bytes = self.bytes(pages).next().expect("a place of one matrix");
        Matrix { bytes, ..described.clone() }
    }

    /// An expert whose bytes are those in a buffer.
    pub fn expert(&self, described: &Expert, pages: &Arc<Pages>) -> Expert {
        let mut bytes = self.bytes(pages);
        let mut matrix = |described: &Matrix| {
            let bytes = bytes.next().expect("a place of three matrices");
            Matrix { bytes, ..described.clone() }
        };
        Expert {
            gate: matrix(&described.gate),
            up: matrix(&described.up),
            down: matrix(&described.down),
        }
    }
}

impl Stretch {
    /// The whole pages around it.
    fn pages(&self) -> Range<usize> {
        let Range { start, end } = self.bytes;
        start / PAGE_LEN * PAGE_LEN..end.next_multiple_of(PAGE_LEN)
    }

    fn failed(&self, problem: impl Display) -> ReadError {
        let Stretch { file, tensor, bytes: Range { start, end } } = self;
        let item = format!("tensor {tensor} (bytes {start} to {end})");
        ReadError::new(&file.mapped.path, item, problem)
    }
}

impl Piece<'_> {
    /// Reads it.
    ///
    /// # Errors
    /// If the file has become shorter, or the disk fails.
    pub fn read(self) -> Result<(), ReadError> {
        let Piece { stretch, offset, out } = self;
        let n_needed = out.len().min(stretch.bytes.end - offset);
        let read = stretch.file.read(offset as u64, out, n_needed);
        read.map_err(|error| stretch.failed(error))
    }
}
