//! Writing GGUF files, one tensor after the other.

use super::metadata::{Metadata, is_of_one_file};
use super::validate::DEFAULT_ALIGNMENT;
use super::value::{Value, encode_str};
use super::{Problem, header, split};
use crate::text::printable;
use gatefold_quant::DynFormat;
use std::collections::HashSet;
use std::io::{self, Write};
use thiserror::Error;

/// A tensor that will be written.
#[derive(Clone, Debug)]
pub struct TensorPlan {
    /// Its name, at most 64 bytes.
    pub name: String,
    /// The format of its blocks.
    pub format: &'static DynFormat,
    /// Sizes, outermost first, at most four.
    pub shape: Vec<usize>,
}

/// Why a file could not be written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The operating system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A key or a tensor that no reader would accept.
    #[error("the GGUF that was to be written would be one that nothing reads: it {}", printable(.0))]
    Header(Problem),
    /// Bytes that are not those of the plan.
    #[error(
        "tensor {} is planned to have {planned} bytes, and {given} were given",
        printable(tensor)
    )]
    Size {
        /// Which tensor.
        tensor: String,
        /// Bytes by its format and shape.
        planned: u64,
        /// Bytes that came.
        given: u64,
    },
    /// More tensors than planned.
    #[error("all {0} planned tensors are written already")]
    Full(usize),
}

/// What a file will hold: its header, and where behind it each tensor comes to lie.
///
/// The keys that say how another file was laid out (`general.alignment`, `split.*`) are left out of
/// the header: they do not hold for this one.
#[derive(Clone, Debug)]
pub struct FileLayout {
    header: Vec<u8>,
    tensors: Vec<Extent>,
}

/// The place of a tensor.
#[derive(Clone, Debug)]
struct Extent {
    name: String,
    start: u64,
    n_bytes: u64,
}

impl FileLayout {
    /// The layout of a whole model in one file.
    ///
    /// # Errors
    /// Where a key or a planned tensor has a name, format or shape that no reader would accept.
    pub fn of_model(
        metadata: &Metadata,
        tensors: Vec<TensorPlan>,
    ) -> Result<FileLayout, WriteError> {
        check_names(&tensors)?;
        FileLayout::new(own_keys(metadata), tensors)
    }

    /// The layouts of a model split into files with these tensors. The first file has all the keys,
    /// the others only those that say which part they are, as `llama-gguf-split` writes them.
    ///
    /// # Errors
    /// As [`Self::of_model`], and where there are too many parts.
    pub fn of_parts(
        metadata: &Metadata,
        parts: Vec<Vec<TensorPlan>>,
    ) -> Result<Vec<FileLayout>, WriteError> {
        check_names(parts.iter().flatten())?;
        let count = u16::try_from(parts.len()).map_err(|_| {
            let (found, most) = (parts.len() as u64, u16::MAX.into());
            WriteError::Header(Problem::TooMany { item: "parts".into(), found, most })
        })?;
        let n_tensors = Value::I32(parts.iter().map(Vec::len).sum::<usize>() as i32);
        let layouts = (0..count).zip(parts).map(|(idx, tensors)| {
            let (idx, count) = (Value::U16(idx), Value::U16(count));
            let numbering = [
                (split::IDX_KEY, &idx),
                (split::COUNT_KEY, &count),
                (split::TENSORS_KEY, &n_tensors),
            ];
            let keys = own_keys(metadata).filter(|_| idx == Value::U16(0));
            FileLayout::new(keys.chain(numbering), tensors)
        });
        layouts.collect()
    }

    fn new<'a>(
        keys: impl Iterator<Item = (&'a str, &'a Value)>,
        tensors: Vec<TensorPlan>,
    ) -> Result<FileLayout, WriteError> {
        let mut entries = Vec::new();
        let mut n_keys = 0u64;
        for (key, value) in keys {
            header::check_key(key).map_err(WriteError::Header)?;
            encode_str(key, &mut entries);
            value.encode(&mut entries);
            n_keys += 1;
        }
        let mut header = b"GGUF".to_vec();
        header.extend(3u32.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend(n_keys.to_le_bytes());
        header.append(&mut entries);
        let mut extents: Vec<Extent> = Vec::new();
        for tensor in tensors {
            let start = extents.last().map_or(0, Extent::padded_end);
            let shape: Vec<u64> = tensor.shape.iter().map(|&size| size as u64).collect();
            let n_bytes = header::check_shape(&tensor.name, tensor.format, &shape)
                .map_err(WriteError::Header)?;
            encode_str(&tensor.name, &mut header);
            header.extend((shape.len() as u32).to_le_bytes());
            shape.iter().rev().for_each(|size| header.extend(size.to_le_bytes()));
            header.extend(tensor.format.gguf_type.to_le_bytes());
            header.extend(start.to_le_bytes());
            extents.push(Extent { name: tensor.name, start, n_bytes });
        }
        header.resize(header.len().next_multiple_of(DEFAULT_ALIGNMENT as usize), 0);
        extents.iter_mut().for_each(|extent| extent.start += header.len() as u64);
        Ok(FileLayout { header, tensors: extents })
    }

    /// Everything before the first tensor.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Where the first `n_tensors` end, and what follows them begins.
    pub fn end_of(&self, n_tensors: usize) -> u64 {
        let last = self.tensors[..n_tensors].last();
        last.map_or(self.header.len() as u64, Extent::padded_end)
    }

    /// The size of the file.
    pub fn n_bytes(&self) -> u64 {
        self.end_of(self.tensors.len())
    }
}

impl Extent {
    fn padded_end(&self) -> u64 {
        self.start + self.n_bytes.next_multiple_of(DEFAULT_ALIGNMENT)
    }
}

/// The keys that are about the model, not about the file it was in.
fn own_keys(metadata: &Metadata) -> impl Iterator<Item = (&str, &Value)> {
    metadata.iter().filter(|(key, _)| !is_of_one_file(key))
}

fn check_names<'a>(tensors: impl IntoIterator<Item = &'a TensorPlan>) -> Result<(), WriteError> {
    let mut names = HashSet::new();
    for tensor in tensors {
        header::check_name(&tensor.name).map_err(WriteError::Header)?;
        if !names.insert(tensor.name.as_str()) {
            let item = format!("tensors {}", tensor.name);
            return Err(WriteError::Header(Problem::Duplicate { item }));
        }
    }
    Ok(())
}

/// Writes a GGUF of version 3, alignment 32: the header first, then the tensors in planned order.
///
/// Nothing but the header is held in memory.
pub struct Writer<W: Write> {
    out: W,
    layout: FileLayout,
    /// The tensor that comes next, or is being written.
    idx: usize,
    /// Bytes of it written so far.
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header of a whole model.
    ///
    /// # Errors
    /// As [`FileLayout::of_model`], and where `out` fails.
    pub fn new(out: W, metadata: &Metadata, tensors: Vec<TensorPlan>) -> Result<Self, WriteError> {
        Writer::begin(out, FileLayout::of_model(metadata, tensors)?)
    }

    /// Writes the header of a file.
    ///
    /// # Errors
    /// Where `out` fails.
    pub fn begin(mut out: W, layout: FileLayout) -> Result<Self, WriteError> {
        out.write_all(&layout.header)?;
        Ok(Writer::resume(out, layout, 0))
    }

    /// Goes on with a file in which `n_tensors` are written: `out` stands where they end.
    pub fn resume(out: W, layout: FileLayout, n_tensors: usize) -> Self {
        Writer { out, layout, idx: n_tensors, written: 0 }
    }

    /// Tensors that are written whole.
    pub fn n_tensors(&self) -> usize {
        self.idx
    }

    /// Writes the next tensor.
    ///
    /// # Errors
    /// Where `bytes` is not the next tensor whole, and where the output fails.
    pub fn tensor(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let idx = self.idx;
        self.chunk(bytes)?;
        if self.idx == idx { Err(self.size_error(bytes.len() as u64)) } else { Ok(()) }
    }

    /// Writes more of the next tensor, which may come in any number of chunks.
    ///
    /// # Errors
    /// Where `bytes` goes beyond the tensor, and where the output fails.
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let Some(&Extent { n_bytes, .. }) = self.layout.tensors.get(self.idx) else {
            return Err(WriteError::Full(self.layout.tensors.len()));
        };
        let written = self.written + bytes.len() as u64;
        if written > n_bytes {
            return Err(self.size_error(written));
        }
        self.out.write_all(bytes)?;
        self.written = written;
        if written == n_bytes {
            let padding = n_bytes.next_multiple_of(DEFAULT_ALIGNMENT) - n_bytes;
            self.out.write_all(&[0; DEFAULT_ALIGNMENT as usize][..padding as usize])?;
            (self.idx, self.written) = (self.idx + 1, 0);
        }
        Ok(())
    }

    /// Flushes the output and returns it.
    ///
    /// # Errors
    /// Where a planned tensor is missing, and where the output fails.
    pub fn finish(mut self) -> Result<W, WriteError> {
        if self.idx < self.layout.tensors.len() {
            return Err(self.size_error(self.written));
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn size_error(&self, given: u64) -> WriteError {
        let Extent { name, n_bytes, .. } = &self.layout.tensors[self.idx];
        WriteError::Size { tensor: name.clone(), planned: *n_bytes, given }
    }
}
