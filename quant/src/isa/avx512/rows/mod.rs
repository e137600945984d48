//! GEMV micro-kernels, for a few tokens: four rows of weights at a time, straight from the packed
//! blocks.

pub mod flat;
pub mod super_block;

use crate::format::Format;
use crate::product::Product;
use std::arch::x86_64::*;

/// The rows of a matrix, four at a time, a quarter of the matrix apart: that makes four long
/// streams, which memory answers faster than one stream, or four that jump from row to row.
pub struct Rows<B> {
    first: *const B,
    n_rows: usize,
    /// Blocks of each row.
    pub blocks_per_row: usize,
    /// Rows of a quarter.
    pub n: usize,
}

impl<B> Rows<B> {
    /// The rows of the weights.
    pub fn new<F: Format<Block = B>>(product: &Product<'_, F>) -> Rows<B> {
        let n_rows = product.n_rows();
        Rows {
            first: product.weights.as_ptr(),
            n_rows,
            blocks_per_row: product.blocks_per_row(),
            n: n_rows.div_ceil(4),
        }
    }

    /// Where row `i` of each quarter begins. Rows beyond the end are the last once more.
    #[inline(always)]
    pub fn starts(&self, i: usize) -> [*const B; 4] {
        let start = |quarter: usize| {
            let row_idx = (quarter * self.n + i).min(self.n_rows - 1);
            self.first.wrapping_add(row_idx * self.blocks_per_row)
        };
        [start(0), start(1), start(2), start(3)]
    }

    /// Writes the tokens' sums of rows `i` to `out`, `[N, n_rows]`.
    ///
    /// # Safety
    /// The CPU must have this module's features.
    #[inline(always)]
    pub unsafe fn store<const N: usize>(&self, i: usize, sums: [__m128; N], out: &mut [f32]) {
        for (out, sums) in out.chunks_exact_mut(self.n_rows).zip(sums) {
            let mut values = [0.0; 4];
            // SAFETY: the array is sixteen bytes.
            unsafe { _mm_storeu_ps(values.as_mut_ptr(), sums) };
            for (quarter, value) in values.into_iter().enumerate() {
                if let Some(out) = out.get_mut(quarter * self.n + i) {
                    *out = value;
                }
            }
        }
    }
}
