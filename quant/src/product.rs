//! The operands of a matrix product (GEMM; GEMV for a single token).

use crate::activations::Activations;
use crate::format::Format;

/// A matrix product: some rows of weights times some rows of activations. Its parts fit together,
/// as [`crate::DynFormat::multiply`] has checked.
pub struct Product<'a, F: Format> {
    /// `[n_rows, cols / BLOCK_LEN]` blocks, row after row.
    pub weights: &'a [F::Block],
    /// The activations.
    pub x: &'a Activations,
    /// `[n_tokens, n_rows]`, overwritten.
    pub out: &'a mut [f32],
}

impl<F: Format> Product<'_, F> {
    /// Blocks per row of weights.
    pub fn blocks_per_row(&self) -> usize {
        self.x.cols() / F::BLOCK_LEN
    }

    /// Rows of activations.
    pub fn n_tokens(&self) -> usize {
        self.x.n_tokens()
    }

    /// Rows of weights.
    pub fn n_rows(&self) -> usize {
        self.weights.len() / self.blocks_per_row()
    }
}
