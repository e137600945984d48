//! A tensor of the GGUF to be, and the stored matrices out of which its rows are read.

use super::decoding::Decoding;
use super::error::CheckpointError;
use super::stored::SourceFile;
use gatefold_quant::DynFormat;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A tensor under its name in a GGUF, and where its weights are.
///
/// Its rows are those of one or more stored matrices, one after the other: experts that a
/// checkpoint stores one by one become one tensor.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its name in a GGUF: `blk.0.ffn_gate_exps.weight`.
    pub name: String,
    /// Sizes, outermost first; a vector is one row, or one column where its values are reordered.
    pub shape: Vec<usize>,
    /// The format of its parts; where they differ, the finest: files of December 2023 gave some
    /// experts of a layer a better one than the others.
    pub format: &'static DynFormat,
    /// The stored matrices, top to bottom, all of the same columns.
    pub parts: Vec<Part>,
}

/// A matrix `[rows, cols]` of a file, perhaps in another order than it shall have.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file.
    pub file: Arc<SourceFile>,
    /// Where its first byte is.
    pub offset: u64,
    /// The format of its blocks, as read.
    pub format: &'static DynFormat,
    /// How what is stored becomes blocks of the format, where it has none.
    pub decoding: Option<Decoding>,
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

/// Bytes of a transposed matrix that its reader keeps, unless the rows that are wanted have more:
/// those of an expert of Mixtral 8x7B in 32 bits, 8x22B in 16.
const KEPT_BYTES: usize = 256 << 20;

/// Stored bytes that a transposition reads at a time, unless a single row has more.
const BAND_BYTES: usize = 2 << 20;

/// Columns that a transposition makes at a time: 512 bytes of each row in 16-bit formats.
const BAND_COLS: usize = 256;

/// Rows that it makes of them at a time.
const TILE_ROWS: usize = 32;

impl Tensor {
    /// A tensor of these parts, of which there is at least one.
    pub(super) fn of_parts(name: String, shape: Vec<usize>, parts: Vec<Part>) -> Tensor {
        let format = finest(&parts);
        Tensor { name, shape, format, parts }
    }

    /// A vector that no file has, computed from what lies in `folder`.
    pub(super) fn of_values(name: String, values: &[f32], folder: &Path) -> Tensor {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let format = DynFormat::by_name("F32").expect("F32 is registered");
        let (file, cols) = (SourceFile::in_memory(folder, bytes), values.len());
        let order = RowOrder::Stored;
        let part = Part { file, offset: 0, format, decoding: None, rows: 1, cols, order };
        Tensor::of_parts(name, vec![cols], vec![part])
    }

    /// Rows of all parts: the product of all sizes but the last; as many as it has values, of one
    /// column, for a vector whose values are stored in another order.
    pub fn n_rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows).sum()
    }

    /// Weights of all rows.
    pub fn n_weights(&self) -> u64 {
        self.n_rows() as u64 * self.n_cols() as u64
    }

    /// Weights per row.
    pub fn n_cols(&self) -> usize {
        self.parts[0].cols
    }
}

/// The format with the most bits among those of the parts, of which there is at least one. Of F16
/// and BF16, which have as many, neither holds the other, but F32 holds both.
fn finest(parts: &[Part]) -> &'static DynFormat {
    let bits = |format: &DynFormat| 8 * 256 * format.block_bytes / format.block_len;
    let formats = || parts.iter().map(|part| part.format);
    let finest = formats().max_by_key(|format| bits(format)).expect("a part");
    match formats().any(|other| bits(other) == bits(finest) && other != finest) {
        true if finest.block_len == 1 => DynFormat::by_name("F32").expect("F32 is registered"),
        _ => finest,
    }
}

impl Part {
    /// Bytes per row.
    pub fn row_bytes(&self) -> usize {
        self.format.row_bytes(self.cols).expect("rows of whole blocks")
    }

    /// What reads its rows.
    pub fn reader(&self) -> Reader<'_> {
        Reader { part: self, kept: 0..0, rows: Vec::new() }
    }

    /// Head by head: the wanted rows are two runs of stored ones, one in each half of the head.
    fn read_pairs(
        &self,
        head_rows: usize,
        rows: Range<usize>,
        out: &mut [u8],
    ) -> Result<(), CheckpointError> {
        let row_bytes = self.row_bytes();
        let mut run = Vec::new();
        for head in rows.start / head_rows..rows.end.div_ceil(head_rows) {
            let first = head * head_rows;
            let from = rows.start.max(first) - first;
            let to = rows.end.min(first + head_rows) - first;
            for half in 0..2 {
                // Pairs whose row of this half is wanted.
                let pairs = (from + 1 - half) / 2..(to + 1 - half) / 2;
                run.resize(pairs.len() * row_bytes, 0);
                self.read((first + half * (head_rows / 2) + pairs.start) * row_bytes, &mut run)?;
                for (pair, row) in pairs.zip(run.chunks_exact(row_bytes)) {
                    let at = (first + 2 * pair + half - rows.start) * row_bytes;
                    out[at..at + row_bytes].copy_from_slice(row);
                }
            }
        }
        Ok(())
    }

    /// A band of stored rows, which are columns here, at a time. They are read whole: that is
    /// several times the bytes that are wanted, but in sequence and in few calls.
    fn read_transposed(&self, rows: Range<usize>, out: &mut [u8]) -> Result<(), CheckpointError> {
        let weight_bytes = self.format.block_bytes;
        let stored_bytes = self.rows * weight_bytes;
        let n_cols = (BAND_BYTES / stored_bytes).clamp(1, BAND_COLS);
        let mut band = vec![0; n_cols.min(self.cols) * stored_bytes];
        for first in (0..self.cols).step_by(n_cols) {
            let band = &mut band[..n_cols.min(self.cols - first) * stored_bytes];
            self.read(first * stored_bytes, band)?;
            let out = &mut out[first * weight_bytes..];
            match weight_bytes {
                2 => transpose::<2>(band, self.rows, rows.clone(), out, self.cols),
                4 => transpose::<4>(band, self.rows, rows.clone(), out, self.cols),
                _ => unreachable!("weights of {} are not stored one by one", self.format),
            }
        }
        Ok(())
    }

    /// Reads from byte `start` on, counted in the format as which they are read.
    fn read(&self, start: usize, out: &mut [u8]) -> Result<(), CheckpointError> {
        let Some(decoding) = &self.decoding else {
            return self.file.read_at(self.offset + start as u64, out);
        };
        let stored_cols = if self.order == RowOrder::Transposed { self.rows } else { self.cols };
        let row_bytes = self.format.row_bytes(stored_cols).expect("rows of whole blocks");
        let rows = start / row_bytes..(start + out.len()) / row_bytes;
        decoding.read(&self.file, self.offset, rows, out)
    }
}

/// Reads the rows of a part. Those of a transposed one lie everywhere in the file, so that the
/// whole of it is read for a few: the rows that come next are kept.
pub struct Reader<'a> {
    part: &'a Part,
    /// Which rows are kept.
    kept: Range<usize>,
    rows: Vec<u8>,
}

impl Reader<'_> {
    /// The part.
    pub fn part(&self) -> &Part {
        self.part
    }

    /// Reads rows, in the order that they shall have; `out` has their size.
    ///
    /// # Errors
    /// If the file cannot be read, or has become shorter.
    ///
    /// # Panics
    /// If `rows` reaches past the end, or `out` has another size.
    pub fn read(&mut self, rows: Range<usize>, out: &mut [u8]) -> Result<(), CheckpointError> {
        let part = self.part;
        assert!(rows.end <= part.rows, "{rows:?} of {}", part.rows);
        assert_eq!(out.len(), rows.len() * part.row_bytes(), "bytes of {rows:?}");
        if rows.is_empty() {
            return Ok(());
        }
        match part.order {
            RowOrder::Stored => part.read(rows.start * part.row_bytes(), out),
            RowOrder::HalvesToPairs { n_heads } => part.read_pairs(part.rows / n_heads, rows, out),
            RowOrder::Transposed => {
                if rows.start < self.kept.start || self.kept.end < rows.end {
                    self.keep(&rows)?;
                }
                let start = (rows.start - self.kept.start) * part.row_bytes();
                out.copy_from_slice(&self.rows[start..start + out.len()]);
                Ok(())
            }
        }
    }

    /// Keeps these rows, and as many behind them as there is room for.
    fn keep(&mut self, rows: &Range<usize>) -> Result<(), CheckpointError> {
        let row_bytes = self.part.row_bytes();
        let end = rows.end.max(rows.start + KEPT_BYTES / row_bytes).min(self.part.rows);
        self.kept = 0..0;
        self.rows.resize((end - rows.start) * row_bytes, 0);
        self.part.read_transposed(rows.start..end, &mut self.rows)?;
        self.kept = rows.start..end;
        Ok(())
    }
}

/// Turns `rows` of a band of columns into rows, weights being `N` bytes: `band` is
/// `[n_cols, n_rows]`, and the rows of `out` begin `out_cols` weights apart.
fn transpose<const N: usize>(
    band: &[u8],
    n_rows: usize,
    rows: Range<usize>,
    out: &mut [u8],
    out_cols: usize,
) {
    let (band, out) = (band.as_chunks::<N>().0, out.as_chunks_mut::<N>().0);
    let n_cols = band.len() / n_rows;
    // Neighbours in a row are far apart in the band, often in the same few sets of the cache; in a
    // tile they lie close together.
    let mut tile = [[[0; N]; TILE_ROWS]; BAND_COLS];
    for first in rows.clone().step_by(TILE_ROWS) {
        let n = TILE_ROWS.min(rows.end - first);
        for (tile, column) in tile.iter_mut().zip(band.chunks_exact(n_rows)) {
            tile[..n].copy_from_slice(&column[first..first + n]);
        }
        for row in 0..n {
            let out = &mut out[(first - rows.start + row) * out_cols..][..n_cols];
            for (out, tile) in out.iter_mut().zip(&tile) {
                *out = tile[row];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn parts_that_differ_have_a_finest_format() {
        let file = SourceFile::open(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")));
        let file = file.unwrap();
        for (formats, expected) in [
            (["Q4_K", "Q6_K"], "Q6_K"),
            (["F16", "Q8_0"], "F16"),
            (["F16", "BF16"], "F32"),
            (["BF16", "F16"], "F32"),
            (["BF16", "BF16"], "BF16"),
        ] {
            let parts = formats.map(|name| {
                let (format, order) = (DynFormat::by_name(name).unwrap(), RowOrder::Stored);
                let (file, decoding) = (file.clone(), None);
                Part { file, offset: 0, format, decoding, rows: 1, cols: 256, order }
            });
            assert_eq!(finest(&parts).name, expected, "{formats:?}");
        }
    }
}
