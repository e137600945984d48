//! A tensor of the GGUF to be, read row by row out of the tensors that a checkpoint has.

use super::error::CheckpointError;
use super::stored::SourceFile;
use gatefold_quant::DynFormat;
use std::ops::Range;
use std::sync::Arc;

/// A tensor under its name in a GGUF, and where its weights are.
///
/// Its rows are those of one or more stored matrices, one after the other: experts that a
/// checkpoint stores one by one become one tensor.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its name in a GGUF: `blk.0.ffn_gate_exps.weight`.
    pub name: String,
    /// Sizes, outermost first; a vector is one row.
    pub shape: Vec<usize>,
    /// The format of the stored blocks.
    pub format: &'static DynFormat,
    /// The stored matrices, top to bottom; all of [`Self::format`] and of the same columns.
    pub parts: Vec<Part>,
}

/// A matrix `[rows, cols]` of a file, perhaps in another order than it shall have.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Where its first byte is.
    pub offset: u64,
    /// Out features, as read.
    pub rows: usize,
    /// In features, as read.
    pub cols: usize,
    /// How the stored order becomes the order of reading.
    pub order: RowOrder,
}

/// How the rows of a matrix are had from the stored ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowOrder {
    /// As they are stored.
    Stored,
    /// Rotary halves become pairs: within each of `n_heads` heads of `d` rows, row `2 i + j` was
    /// stored at `j * d / 2 + i`. Hugging Face rotates halves of a head, GGUF's architecture
    /// `llama` neighbours.
    HalvesToPairs {
        /// Heads in the matrix.
        n_heads: usize,
    },
    /// The stored matrix is `[cols, rows]`; only for formats with one weight per block.
    Transposed,
}

impl Tensor {
    /// Rows of all parts: the product of all sizes but the last.
    pub fn n_rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Weights per row.
    pub fn n_cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Bytes per row, as stored.
    pub fn row_bytes(&self) -> usize {
        self.n_cols() / self.format.block_len * self.format.block_bytes
    }

    /// Reads rows in [`Self::format`], in the order of a GGUF; `out` has their size.
    ///
    /// # Errors
    /// If a file cannot be read, or has become shorter.
    ///
    /// # Panics
    /// If `rows` reaches past the end, or `out` has another size.
    pub fn read_rows(&self, rows: Range<usize>, out: &mut [u8]) -> Result<(), CheckpointError> {
        assert!(rows.end <= self.n_rows(), "{rows:?} of {}", self.name);
        assert_eq!(out.len(), rows.len() * self.row_bytes(), "bytes of {rows:?}");
        let (mut first, mut out) = (0, out);
        for part in &self.parts {
            let last = first + part.rows;
            let from = rows.start.clamp(first, last) - first;
            let to = rows.end.clamp(first, last) - first;
            let (of_part, rest) = out.split_at_mut((to - from) * self.row_bytes());
            part.read_rows(self.format, from..to, of_part)?;
            (first, out) = (last, rest);
        }
        Ok(())
    }
}

impl Part {
    fn read_rows(
        &self,
        format: &DynFormat,
        rows: Range<usize>,
        out: &mut [u8],
    ) -> Result<(), CheckpointError> {
        if rows.is_empty() {
            return Ok(());
        }
        let row_bytes = out.len() / rows.len();
        match self.order {
            RowOrder::Stored => self.read(rows.start * row_bytes, out),
            RowOrder::HalvesToPairs { n_heads } => {
                let head_rows = self.rows / n_heads;
                for (row, out) in rows.zip(out.chunks_exact_mut(row_bytes)) {
                    let (head, row) = (row / head_rows, row % head_rows);
                    let stored = head * head_rows + row % 2 * (head_rows / 2) + row / 2;
                    self.read(stored * row_bytes, out)?;
                }
                Ok(())
            }
            RowOrder::Transposed => {
                let weight_bytes = format.block_bytes;
                let mut column = vec![0; rows.len() * weight_bytes];
                for col in 0..self.cols {
                    self.read((col * self.rows + rows.start) * weight_bytes, &mut column)?;
                    for (row, weight) in column.chunks_exact(weight_bytes).enumerate() {
                        let at = row * row_bytes + col * weight_bytes;
                        out[at..at + weight_bytes].copy_from_slice(weight);
                    }
                }
                Ok(())
            }
        }
    }

    fn read(&self, start: usize, out: &mut [u8]) -> Result<(), CheckpointError> {
        self.file.read_at(self.offset + start as u64, out)
    }
}
