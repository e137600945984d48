//! Slices: some rows of a part of a tensor, on their way from the input's format to the output's.
//!
//! Rows are independent of each other, and so are blocks: however a tensor is cut, the bytes are the
//! same; an importance matrix has a number for each column of a tensor's matrices, whichever rows a
//! slice has. What bounds the memory of a conversion is the number of slices and their size.

use super::weighing::{columns, weigh};
use super::{Plan, PlannedTensor, QuantizeError};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::{Part, Reader, Tensor};
use gatefold_quant::{DynFormat, Isa};
use std::mem;
use std::ops::Range;

/// Weights of a slice, unless a row has more or memory is short: reads and writes of some megabytes.
const SLICE_WEIGHTS: usize = 4 << 20;
/// Most bytes that all slices under way take together.
const MOST_BYTES: usize = 512 << 20;
/// Weights of the widest row; four slices of such rows take [`MOST_BYTES`] at worst.
const MOST_COLS: usize = 16 << 20;
/// Weights that are converted at once: whole blocks of every format, and few enough to stay in a
/// core's own cache between reading and quantizing.
const CHUNK_WEIGHTS: usize = 16 << 10;

/// How tensors are cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Weights per slice.
    slice_weights: usize,
    /// Slices under way at once.
    pub n_slices: usize,
}

impl Cut {
    /// Enough slices to keep `n_threads` busy while one is read and one is written.
    ///
    /// # Errors
    /// If a row is too wide.
    pub fn new(
        checkpoint: &Checkpoint,
        plan: &Plan,
        n_threads: usize,
    ) -> Result<Cut, QuantizeError> {
        let n_slices = 2 * n_threads + 2;
        let weight_bytes = 2 * size_of::<f32>();
        let slice_weights = SLICE_WEIGHTS.min(MOST_BYTES / (n_slices * weight_bytes));
        let mut cut = Cut { slice_weights, n_slices };
        for (tensor, planned) in checkpoint.tensors.iter().zip(&plan.tensors) {
            let n_cols = tensor.n_cols();
            if n_cols > MOST_COLS {
                let tensor = tensor.name.clone();
                return Err(QuantizeError::Wide { tensor, n_cols, most: MOST_COLS });
            }
            for part in &tensor.parts {
                let row_bytes = part.row_bytes() + n_bytes(planned.format, n_cols);
                let slice_bytes = cut.slice_rows(part) * row_bytes;
                cut.n_slices = cut.n_slices.min((MOST_BYTES / slice_bytes).max(2));
            }
        }
        Ok(cut)
    }

    fn slice_rows(&self, part: &Part) -> usize {
        (self.slice_weights / part.cols).clamp(1, part.rows)
    }

    /// The rows of each slice of a part.
    pub fn slices(&self, part: &Part) -> impl Iterator<Item = Range<usize>> + use<> {
        let (n_rows, slice_rows) = (part.rows, self.slice_rows(part));
        (0..n_rows).step_by(slice_rows).map(move |row| row..n_rows.min(row + slice_rows))
    }
}

/// Some rows of a part of a tensor.
#[derive(Debug, Default)]
pub struct Slice {
    /// Which tensor, an index into the checkpoint and the plan.
    pub tensor_idx: usize,
    /// Which part of the tensor.
    part_idx: usize,
    /// Which rows of the part.
    pub rows: Range<usize>,
    /// The rows as they are read.
    source: Vec<u8>,
    /// The rows as they are to be written.
    pub bytes: Vec<u8>,
}

impl Slice {
    /// Reads rows of a part of a tensor, with the reader of that part.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(
        &mut self,
        reader: &mut Reader<'_>,
        tensor_idx: usize,
        part_idx: usize,
        rows: Range<usize>,
    ) -> Result<(), QuantizeError> {
        resize(&mut self.source, rows.len() * reader.part().row_bytes());
        reader.read(rows.clone(), &mut self.source)?;
        (self.tensor_idx, self.part_idx, self.rows) = (tensor_idx, part_idx, rows);
        Ok(())
    }

    /// Converts what was read of `tensor` to what is planned. Blocks that are in that format already are
    /// kept as they are, however large their weights.
    ///
    /// # Errors
    /// If a weight is not finite or too large for the format.
    pub fn convert(
        &mut self,
        tensor: &Tensor,
        planned: &PlannedTensor,
        isa: Isa,
    ) -> Result<(), QuantizeError> {
        let format = planned.format;
        let mut bytes = mem::take(&mut self.bytes);
        if tensor.parts[self.part_idx].format != format {
            resize(&mut bytes, n_bytes(format, self.rows.len() * tensor.n_cols()));
            let mut chunks = bytes.chunks_mut(n_bytes(format, CHUNK_WEIGHTS));
            let (n_cols, first_row) = (tensor.n_cols(), self.first_row(tensor));
            let (mut counts, mut weight_idx) = (Vec::new(), first_row * n_cols);
            self.weights(tensor, format, largest_weight(format, isa), isa, |weights| {
                let chunk = chunks.next().expect("as many chunks of blocks as of weights");
                let Some(importance) = &planned.importance else {
                    return format.quantize(isa, weights, chunk);
                };
                let matrix_rows = tensor.n_rows() / importance.n_matrices();
                columns(importance, (matrix_rows, n_cols), weight_idx, weights.len(), &mut counts);
                weigh(weights, format.block_len, &mut counts);
                format.quantize_weighted(isa, weights, &counts, chunk);
                weight_idx += weights.len();
            })?;
        } else {
            self.weights(tensor, format, f32::MAX, isa, |_| ())?;
            mem::swap(&mut self.source, &mut bytes);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Reads the weights, chunk by chunk, and checks that none is beyond `largest`, where `format`
    /// ends.
    fn weights(
        &self,
        tensor: &Tensor,
        format: &'static DynFormat,
        largest: f32,
        isa: Isa,
        mut then: impl FnMut(&[f32]),
    ) -> Result<(), QuantizeError> {
        let source = tensor.parts[self.part_idx].format;
        let fits = |weight: &f32| weight.abs() <= largest;
        let mut buffer = vec![0.0; CHUNK_WEIGHTS];
        let chunks = self.source.chunks(n_bytes(source, CHUNK_WEIGHTS));
        for (chunk_idx, chunk) in chunks.enumerate() {
            let weights = &mut buffer[..chunk.len() / source.block_bytes * source.block_len];
            source.dequantize(isa, chunk, weights);
            // All are tested first: a search for one cannot be vectorized.
            if !weights.iter().fold(true, |all, weight| all & fits(weight)) {
                let at = weights.iter().position(|weight| !fits(weight));
                let at = at.expect("one that does not fit");
                let weight_idx = chunk_idx * CHUNK_WEIGHTS + at;
                return Err(self.unfit(tensor, weight_idx, weights[at], format, largest));
            }
            then(weights);
        }
        Ok(())
    }

    /// The slice's first row, counted in the whole tensor.
    fn first_row(&self, tensor: &Tensor) -> usize {
        let above = tensor.parts[..self.part_idx].iter().map(|part| part.rows);
        self.rows.start + above.sum::<usize>()
    }

    /// The error that names a weight of the slice.
    fn unfit(
        &self,
        tensor: &Tensor,
        weight_idx: usize,
        weight: f32,
        format: &'static DynFormat,
        largest: f32,
    ) -> QuantizeError {
        let part = &tensor.parts[self.part_idx];
        let mut position = Vec::new();
        let mut rest = self.first_row(tensor) * part.cols + weight_idx;
        for &size in tensor.shape.iter().rev() {
            position.insert(0, rest % size);
            rest /= size;
        }
        let (path, tensor) = (part.file.path.clone(), tensor.name.clone());
        match weight.is_finite() {
            true => QuantizeError::TooLarge { path, tensor, position, weight, format, largest },
            false => QuantizeError::NotFinite { path, tensor, position, weight },
        }
    }
}

/// The largest magnitude that blocks of `format` are sure to hold: what comes back of blocks of the
/// largest numbers there are, of either sign.
fn largest_weight(format: &DynFormat, isa: Isa) -> f32 {
    let mut bytes = vec![0; format.block_bytes];
    let largest = [f32::MAX, f32::MIN].map(|extreme| {
        let mut weights = vec![extreme; format.block_len];
        format.quantize(isa, &weights, &mut bytes);
        format.dequantize(isa, &bytes, &mut weights);
        weights.iter().fold(f32::MAX, |least, weight| least.min(weight.abs()))
    });
    largest[0].min(largest[1])
}

/// Bytes of `n_weights`, which are whole blocks.
fn n_bytes(format: &DynFormat, n_weights: usize) -> usize {
    format.row_bytes(n_weights).expect("whole blocks")
}

/// Makes room for `len` bytes and no more: buffers are what the memory goes to.
fn resize(buffer: &mut Vec<u8>, len: usize) {
    buffer.reserve_exact(len.saturating_sub(buffer.len()));
    buffer.resize(len, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{RowOrder, SourceFile};
    use crate::gguf::Metadata;
    use crate::quantize::Reason;
    use gatefold_quant::FORMATS;
    use std::path::PathBuf;

    /// A checkpoint and a plan of F32 matrices that stay what they are, which takes most memory.
    fn conversion(shapes: &[[usize; 2]]) -> (Checkpoint, Plan) {
        let format = DynFormat::by_name("F32").unwrap();
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"));
        let file = SourceFile::open(&path).unwrap();
        let tensors = shapes.iter().map(|&[rows, cols]| {
            let (file, order) = (file.clone(), RowOrder::Stored);
            let part = Part { file, offset: 0, format, decoding: None, rows, cols, order };
            Tensor { name: "matrix".into(), shape: vec![rows, cols], format, parts: vec![part] }
        });
        let (metadata, files) = (Metadata::new(), vec![file.clone()]);
        let checkpoint = Checkpoint {
            path,
            kind: "a test",
            files,
            metadata,
            tensors: tensors.collect(),
            notes: vec![],
        };
        let reason = Reason::Recipe;
        let planned = PlannedTensor { format, n_bytes: 0, reason, importance: None };
        let tensors = vec![planned; shapes.len()];
        let parts = std::iter::once(0..shapes.len()).collect();
        (checkpoint, Plan { metadata: Metadata::new(), tensors, parts, imatrix: None })
    }

    #[test]
    fn slices_are_all_rows_in_bounded_memory() {
        let widest = [3, MOST_COLS];
        let shapes = [[1, 1], [32_000, 4096], [8 * 4096, 14_336], [1, 100_000], widest];
        for n_shapes in 1..=shapes.len() {
            let (checkpoint, plan) = conversion(&shapes[..n_shapes]);
            for n_threads in [1, 2, 16, 64, 256] {
                let cut = Cut::new(&checkpoint, &plan, n_threads).unwrap();
                assert!(cut.n_slices >= 2);
                for part in checkpoint.tensors.iter().flat_map(|tensor| &tensor.parts) {
                    let mut next = 0;
                    for rows in cut.slices(part) {
                        assert_eq!(rows.start, next);
                        let n_bytes = cut.n_slices * rows.len() * 2 * part.row_bytes();
                        assert!(n_bytes <= MOST_BYTES, "{cut:?}: {rows:?}");
                        next = rows.end;
                    }
                    assert_eq!(next, part.rows);
                }
            }
        }
        let (checkpoint, plan) = conversion(&[[1, MOST_COLS + 1]]);
        let error = Cut::new(&checkpoint, &plan, 1).unwrap_err().to_string();
        assert!(error.contains("rows of 16777217 weights"), "{error}");
    }

    /// Real weights are below 1000; scales are stored as F16, which ends at 65504.
    #[test]
    fn formats_hold_what_they_are_said_to() {
        for format in FORMATS {
            let largest = largest_weight(format, Isa::SCALAR);
            assert!((65504.0..=f32::MAX).contains(&largest), "{format}: {largest}");
            for weight in [largest, -largest] {
                let mut weights = vec![weight; format.block_len];
                let mut bytes = vec![0; format.block_bytes];
                format.quantize(Isa::SCALAR, &weights, &mut bytes);
                format.dequantize(Isa::SCALAR, &bytes, &mut weights);
                let error =
                    weights.iter().fold(0f32, |error, back| error.max((back - weight).abs()));
                // Scales of codebooks are looked for where weights differ: entries of one number for all
                // are small ones.
                let is_codebook =
                    ["IQ1", "IQ2", "IQ3"].iter().any(|it| format.name.starts_with(it));
                let most = if is_codebook { largest } else { largest / 8.0 };
                assert!(error <= most, "{format}: {weight} comes back as {weights:?}");
            }
        }
    }
}
