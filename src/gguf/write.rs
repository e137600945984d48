//! Writing GGUF files, one tensor after the other.

use super::metadata::{Metadata, is_of_one_file};
use super::validate::DEFAULT_ALIGNMENT;
use super::value::encode_str;
use super::{Problem, header, printable};
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
pub enum WriteError {
    /// The operating system says no.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A key or a tensor that no reader would accept.
    #[error("a GGUF to be written {}", printable(.0))]
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

/// Writes a GGUF of version 3, alignment 32: the header first, then the tensors in planned order.
///
/// Nothing but the header is held in memory.
pub struct Writer<W: Write> {
    out: W,
    tensors: Vec<(TensorPlan, u64)>,
    /// The tensor that comes next, or is being written.
    idx: usize,
    /// Bytes of it written so far.
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// The keys that say how another file was laid out (`general.alignment`, `split.*`) are left
    /// out: they do not hold for this one.
    ///
    /// # Errors
    /// Where a key or a planned tensor has a name, format or shape that no reader would accept, and
    /// where `out` fails.
    pub fn new(out: W, metadata: &Metadata, tensors: Vec<TensorPlan>) -> Result<Self, WriteError> {
        let tensors = sized(tensors).map_err(WriteError::Header)?;
        let keys: Vec<_> = metadata.iter().filter(|(key, _)| !is_of_one_file(key)).collect();
        let mut header = b"GGUF".to_vec();
        header.extend(3u32.to_le_bytes());
        header.extend((tensors.len() as u64).to_le_bytes());
        header.extend((keys.len() as u64).to_le_bytes());
        for (key, value) in keys {
            header::check_key(key).map_err(WriteError::Header)?;
            encode_str(key, &mut header);
            value.encode(&mut header);
        }
        let mut offset = 0u64;
        for (tensor, n_bytes) in &tensors {
            encode_str(&tensor.name, &mut header);
            header.extend((tensor.shape.len() as u32).to_le_bytes());
            for &size in tensor.shape.iter().rev() {
                header.extend((size as u64).to_le_bytes());
            }
            header.extend(tensor.format.gguf_type.to_le_bytes());
            header.extend(offset.to_le_bytes());
            offset += n_bytes.next_multiple_of(DEFAULT_ALIGNMENT);
        }
        header.resize(header.len().next_multiple_of(DEFAULT_ALIGNMENT as usize), 0);
        let mut writer = Writer { out, tensors, idx: 0, written: 0 };
        writer.out.write_all(&header)?;
        Ok(writer)
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
        let Some((_, n_bytes)) = self.tensors.get(self.idx) else {
            return Err(WriteError::Full(self.tensors.len()));
        };
        let (n_bytes, written) = (*n_bytes, self.written + bytes.len() as u64);
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
        if self.idx < self.tensors.len() {
            return Err(self.size_error(self.written));
        }
        self.out.flush()?;
        Ok(self.out)
    }

    fn size_error(&self, given: u64) -> WriteError {
        let (tensor, planned) = &self.tensors[self.idx];
        WriteError::Size { tensor: tensor.name.clone(), planned: *planned, given }
    }
}

/// The plan with each tensor's bytes.
fn sized(tensors: Vec<TensorPlan>) -> Result<Vec<(TensorPlan, u64)>, Problem> {
    let mut names = HashSet::new();
    for tensor in &tensors {
        header::check_name(&tensor.name)?;
        if !names.insert(tensor.name.as_str()) {
            return Err(Problem::Duplicate { item: format!("tensors {}", tensor.name) });
        }
    }
    let sized = tensors.into_iter().map(|tensor| {
        let shape: Vec<u64> = tensor.shape.iter().map(|&size| size as u64).collect();
        let n_bytes = header::check_shape(&tensor.name, tensor.format, &shape)?;
        Ok((tensor, n_bytes))
    });
    sized.collect()
}
