//! Activations, the operand that weights are multiplied with.
//!
//! Quantized weights meet activations quantized to int8, so that the sum inside a block is a sum
//! of integers: exact, whatever the order, hence the same on every instruction set.

use crate::format::{FLAT_LEN, SUPER_LEN};
use crate::isa::Isa;

/// How a row of activations is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActivationKind {
    /// As f32.
    F32,
    /// As int8 with a scale per 32, for the flat formats.
    Int8Per32,
    /// As int8 with a scale per 256, for the super-block formats.
    Int8Per256,
}

impl ActivationKind {
    /// Activations that share a scale; 1 for [`Self::F32`].
    pub const fn block_len(self) -> usize {
        match self {
            ActivationKind::F32 => 1,
            ActivationKind::Int8Per32 => FLAT_LEN,
            ActivationKind::Int8Per256 => SUPER_LEN,
        }
    }

    /// Activations per entry of [`Activations::sums`]: what offsets and minimums need.
    pub const fn sum_len(self) -> usize {
        match self {
            ActivationKind::F32 | ActivationKind::Int8Per32 => FLAT_LEN,
            ActivationKind::Int8Per256 => 16,
        }
    }
}

/// Rows of activations, one per token, in the form that a format's dot product wants.
///
/// A block of values `x` becomes codes `q` and a scale `s` with `x = s * q`: `s = max|x| / 127`,
/// `q = round(x * (127 / max|x|))`, ties to even. A block with a value that is not finite gets the
/// scale NaN, which then shows in every result; one whose largest magnitude is below 1e-30 is zero.
pub struct Activations {
    kind: ActivationKind,
    n_tokens: usize,
    cols: usize,
    floats: Vec<f32>,
    codes: Vec<i8>,
    scales: Vec<f32>,
    sums: Vec<i16>,
}

/// Bytes added to a row of codes, so that the rows of neighbouring tokens fall into different
/// cache sets even where `cols` is a power of two.
const ROW_PADDING: usize = 64;

/// One token's row, to be filled.
pub struct ActivationRow<'a> {
    kind: ActivationKind,
    floats: &'a mut [f32],
    codes: &'a mut [i8],
    scales: &'a mut [f32],
    sums: &'a mut [i16],
}

impl Activations {
    /// Rows of zeros. `cols` must be whole blocks of `kind`.
    pub fn zeros(kind: ActivationKind, n_tokens: usize, cols: usize) -> Activations {
        let mut activations = Activations {
            kind,
            n_tokens: 0,
            cols,
            floats: Vec::new(),
            codes: Vec::new(),
            scales: Vec::new(),
            sums: Vec::new(),
        };
        activations.reset(kind, n_tokens, cols);
        activations
    }

    /// Quantizes `x`, `[n_tokens, cols]`.
    pub fn new(isa: Isa, kind: ActivationKind, cols: usize, x: &[f32]) -> Activations {
        let mut activations = Activations::zeros(kind, x.len() / cols, cols);
        for (row, x) in activations.rows_mut().zip(x.chunks_exact(cols)) {
            row.fill(isa, x);
        }
        activations
    }

    /// Changes shape and kind, keeping the memory. The contents are unspecified until filled.
    ///
    /// # Panics
    /// If `cols` is not whole blocks of `kind`.
    pub fn reset(&mut self, kind: ActivationKind, n_tokens: usize, cols: usize) {
        assert!(cols > 0 && cols.is_multiple_of(kind.block_len()), "{cols} columns for {kind:?}");
        (self.kind, self.n_tokens, self.cols) = (kind, n_tokens, cols);
        if kind == ActivationKind::F32 {
            self.floats.resize(n_tokens * cols, 0.0);
        } else {
            self.codes.resize(n_tokens * self.stride(), 0);
            self.scales.resize(n_tokens * cols / kind.block_len(), 0.0);
            self.sums.resize(n_tokens * cols / kind.sum_len(), 0);
        }
    }

    /// The rows, each to be filled with [`ActivationRow::fill`], by any thread.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = ActivationRow<'_>> {
        let (kind, cols, stride) = (self.kind, self.cols, self.stride());
        let is_float = kind == ActivationKind::F32;
        let (float_len, code_len) = if is_float { (cols, 0) } else { (0, stride) };
        let (mut floats, mut codes) = (&mut self.floats[..], &mut self.codes[..]);
        let (mut scales, mut sums) = (&mut self.scales[..], &mut self.sums[..]);
        let n_scales = if is_float { 0 } else { cols / kind.block_len() };
        let n_sums = if is_float { 0 } else { cols / kind.sum_len() };
        (0..self.n_tokens).map(move |_| ActivationRow {
            kind,
            floats: floats.split_off_mut(..float_len).expect("a row per token"),
            codes: &mut codes.split_off_mut(..code_len).expect("a row per token")
                [..code_len.min(cols)],
            scales: scales.split_off_mut(..n_scales).expect("a row per token"),
            sums: sums.split_off_mut(..n_sums).expect("a row per token"),
        })
    }

    /// How the rows are stored.
    pub fn kind(&self) -> ActivationKind {
        self.kind
    }

    /// Rows.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// Values per row.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Bytes from one token's codes to the next's.
    pub fn stride(&self) -> usize {
        self.cols + ROW_PADDING
    }

    /// A token's values, `[cols]`, where the kind is [`ActivationKind::F32`].
    pub fn floats(&self, token: u32) -> &[f32] {
        row(&self.floats, token, self.cols)
    }

    /// A token's codes, `[cols]`, in -127..=127.
    pub fn codes(&self, token: u32) -> &[i8] {
        &row(&self.codes, token, self.stride())[..self.cols]
    }

    /// A token's scales, one per block.
    pub fn scales(&self, token: u32) -> &[f32] {
        row(&self.scales, token, self.cols / self.kind.block_len())
    }

    /// Sums of a token's codes, over each [`ActivationKind::sum_len`] of them.
    pub fn sums(&self, token: u32) -> &[i16] {
        row(&self.sums, token, self.cols / self.kind.sum_len())
    }
}

fn row<T>(values: &[T], token: u32, len: usize) -> &[T] {
    &values[token as usize * len..][..len]
}

impl ActivationRow<'_> {
    /// Stores `x`, `[cols]`.
    pub fn fill(self, isa: Isa, x: &[f32]) {
        if self.kind == ActivationKind::F32 {
            self.floats.copy_from_slice(x);
            return;
        }
        let block_len = self.kind.block_len();
        let blocks = x.chunks_exact(block_len).zip(self.codes.chunks_exact_mut(block_len));
        for ((x, codes), scale) in blocks.zip(self.scales) {
            *scale = isa.quantize_block(x, codes);
        }
        for (sum, codes) in self.sums.iter_mut().zip(self.codes.chunks_exact(self.kind.sum_len())) {
            *sum = codes.iter().map(|&code| i16::from(code)).sum();
        }
    }
}
