//! Numbers that no format of weights has: F64, the two kinds of F8, and integers that a scale goes
//! with, which are read as F32; and blocks that are stored otherwise ([`Packing`]).
//!
//! F8: <https://arxiv.org/abs/2209.05433>, in the form of PyTorch's `float8_e4m3fn` and
//! `float8_e5m2`. Scales are those of DeepSeek's checkpoints (`weight_scale_inv`) and of
//! compressed-tensors (`weight_scale`); both are factors.

use super::error::{CheckpointError, Problem};
use super::stored::{SourceFile, StoredTensor};
use crate::gguf::Packing;
use gatefold_quant::{DynFormat, Isa};
use std::ops::Range;
use std::sync::Arc;

/// How what is stored of a matrix becomes blocks of a format.
#[derive(Clone, Debug)]
pub enum Decoding {
    /// Numbers become F32.
    Numbers {
        /// What they are.
        numbers: Numbers,
        /// What they are multiplied by.
        scale: Option<Scale>,
    },
    /// Blocks become those of another format.
    Packed(Packing),
}

/// Numbers that no format has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Numbers {
    /// 64 bits.
    F64,
    /// 4 bits of exponent, 3 of mantissa.
    F8E4M3,
    /// 5 bits of exponent, 2 of mantissa.
    F8E5M2,
    /// Integers of 8 bits.
    I8,
}

/// Factors of a matrix: one for each block of it, which may be a row or all.
#[derive(Clone, Debug)]
pub struct Scale {
    file: Arc<SourceFile>,
    offset: u64,
    format: &'static DynFormat,
    /// Factors for the blocks of a row.
    n_cols: usize,
    /// Rows and columns of a block.
    block: [usize; 2],
}

/// Rows and columns of a block where there is more than one in a row.
const BLOCK: usize = 128;

impl Numbers {
    /// The numbers that safetensors or PyTorch call so.
    pub fn by_name(name: &str) -> Option<Numbers> {
        match name {
            "F64" | "float64" => Some(Numbers::F64),
            "F8_E4M3" => Some(Numbers::F8E4M3),
            "F8_E5M2" => Some(Numbers::F8E5M2),
            "I8" => Some(Numbers::I8),
            _ => None,
        }
    }

    /// Whether they stand for weights without a scale.
    pub fn are_weights(self) -> bool {
        self != Numbers::I8
    }

    /// Bytes of one.
    pub fn n_bytes(self) -> usize {
        if self == Numbers::F64 { 8 } else { 1 }
    }

    fn decode(self, stored: &[u8]) -> f32 {
        match (self, stored) {
            (Numbers::F64, _) => f64::from_le_bytes(stored.try_into().expect("8 bytes")) as f32,
            (Numbers::F8E4M3, &[byte, ..]) => decode_f8(byte, 3, 7),
            (Numbers::F8E5M2, &[byte, ..]) => decode_f8(byte, 2, 15),
            (Numbers::I8, &[byte, ..]) => f32::from(byte as i8),
            (_, []) => unreachable!("numbers have bytes"),
        }
    }
}

/// A number of a sign, an exponent and so many bits of mantissa. In E5M2 the largest exponent is that
/// of infinity and NaN, in E4M3 only the largest number is NaN.
fn decode_f8(byte: u8, mantissa_bits: i32, bias: i32) -> f32 {
    let (exponent, mantissa) =
        (i32::from(byte & 0x7F) >> mantissa_bits, i32::from(byte) & ((1 << mantissa_bits) - 1));
    let magnitude = match (mantissa_bits, byte & 0x7F) {
        (3, 0x7F) | (2, 0x7D..) => f32::NAN,
        (2, 0x7C) => f32::INFINITY,
        _ => {
            let (significand, exponent) = match exponent {
                0 => (mantissa, 1),
                _ => (mantissa + (1 << mantissa_bits), exponent),
            };
            significand as f32 * 2f32.powi(exponent - bias - mantissa_bits)
        }
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

impl Scale {
    /// The factors in the tensor `name` of a matrix with these sizes.
    ///
    /// # Errors
    /// If it has a shape that makes no blocks, or numbers that are no factors.
    pub fn new(
        name: &str,
        stored: &StoredTensor,
        [rows, cols]: [usize; 2],
    ) -> Result<Scale, CheckpointError> {
        let tensor = || name.to_owned();
        let refuse = |problem: Problem| Err(problem.at(&stored.file.path));
        let blocks = [rows.div_ceil(BLOCK), cols.div_ceil(BLOCK)];
        let (n_cols, block) = match stored.shape[..] {
            [] | [1] | [1, 1] => (1, [rows, cols]),
            [n] | [n, 1] if n == rows => (1, [1, cols]),
            [n_rows, n_cols] if [n_rows, n_cols] == blocks => (n_cols, [BLOCK, BLOCK]),
            _ => {
                let (found, expected) = (stored.shape.clone(), blocks.to_vec());
                return refuse(Problem::Shape { tensor: tensor(), found, expected });
            }
        };
        match &stored.format {
            Ok(format) => {
                let (file, offset) = (Arc::clone(&stored.file), stored.offset);
                Ok(Scale { file, offset, format, n_cols, block })
            }
            Err(found) => refuse(Problem::NumberType { tensor: tensor(), found: found.clone() }),
        }
    }

    /// Multiplies rows of the matrix.
    fn multiply(&self, rows: Range<usize>, weights: &mut [f32]) -> Result<(), CheckpointError> {
        let [block_rows, block_cols] = self.block;
        let first = rows.start / block_rows;
        let row_bytes = self.n_cols * self.format.block_bytes;
        let n_rows = rows.end.div_ceil(block_rows) - first;
        let mut bytes = vec![0; n_rows * row_bytes];
        self.file.read_at(self.offset + (first * row_bytes) as u64, &mut bytes)?;
        let mut factors = vec![0.0; n_rows * self.n_cols];
        self.format.dequantize(Isa::SCALAR, &bytes, &mut factors);
        let n_cols = weights.len() / rows.len();
        for (row, weights) in rows.zip(weights.chunks_exact_mut(n_cols)) {
            let factors = &factors[(row / block_rows - first) * self.n_cols..][..self.n_cols];
            for (weights, factor) in weights.chunks_mut(block_cols).zip(factors) {
                weights.iter_mut().for_each(|weight| *weight *= factor);
            }
        }
        Ok(())
    }
}

impl Decoding {
    /// Whether numbers are multiplied by something.
    pub fn is_scaled(&self) -> bool {
        matches!(self, Decoding::Numbers { scale: Some(_), .. })
    }

    /// Reads rows of a matrix, which begins at `offset`.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn read(
        &self,
        file: &SourceFile,
        offset: u64,
        rows: Range<usize>,
        out: &mut [u8],
    ) -> Result<(), CheckpointError> {
        if rows.is_empty() {
            return Ok(());
        }
        let (numbers, scale) = match self {
            Decoding::Numbers { numbers, scale } => (numbers, scale),
            Decoding::Packed(packing) => return read_packed(*packing, file, offset, rows, out),
        };
        let n_bytes = numbers.n_bytes();
        let (out, _) = out.as_chunks_mut::<4>();
        let row_bytes = out.len() / rows.len() * n_bytes;
        let mut stored = vec![0; out.len() * n_bytes];
        file.read_at(offset + (rows.start * row_bytes) as u64, &mut stored)?;
        let numbers = stored.chunks_exact(n_bytes).map(|number| numbers.decode(number));
        let mut weights: Vec<f32> = numbers.collect();
        if let Some(scale) = scale {
            scale.multiply(rows, &mut weights)?;
        }
        for (out, weight) in out.iter_mut().zip(weights) {
            *out = weight.to_le_bytes();
        }
        Ok(())
    }
}

/// Reads the rows that are stored together with those that are wanted.
fn read_packed(
    packing: Packing,
    file: &SourceFile,
    offset: u64,
    rows: Range<usize>,
    out: &mut [u8],
) -> Result<(), CheckpointError> {
    let (n_rows, row_bytes) = (packing.n_rows(), out.len() / rows.len());
    let n_blocks = n_rows * row_bytes / packing.format().block_bytes;
    let (mut stored, mut unpacked) =
        (vec![0; n_blocks * packing.block_bytes()], vec![0; n_rows * row_bytes]);
    for first in (rows.start / n_rows * n_rows..rows.end).step_by(n_rows) {
        file.read_at(offset + (first / n_rows * stored.len()) as u64, &mut stored)?;
        packing.unpack(&stored, &mut unpacked);
        let wanted = rows.start.max(first)..rows.end.min(first + n_rows);
        let bytes = |row: usize, first: usize| (row - first) * row_bytes;
        out[bytes(wanted.start, rows.start)..bytes(wanted.end, rows.start)]
            .copy_from_slice(&unpacked[bytes(wanted.start, first)..bytes(wanted.end, first)]);
    }
    Ok(())
}
