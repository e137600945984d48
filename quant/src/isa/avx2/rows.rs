//! Products with a few tokens: four rows of weights at a time, each read once from where it lies.
//!
//! The lanes of a token's accumulator are the four rows, so that their sums advance together, one
//! fused multiply-add per block. Memory sets the pace; the weights are prefetched in the order in
//! which they lie, since the hardware's prefetchers see four streams that soon end.

mod flat;
mod super_block;

pub use flat::multiply_flat;
pub use super_block::multiply_super;

use std::arch::x86_64::*;

/// Rows computed together.
const N_ROWS: usize = 4;
/// How far ahead of use weights are prefetched.
const PREFETCH_BYTES: usize = 16 << 10;

/// Four neighbouring rows of weights; at the matrix's end the last one repeats.
struct Rows<'a, B> {
    rows: [&'a [B]; N_ROWS],
}

impl<'a, B> Rows<'a, B> {
    #[inline(always)]
    fn new(weights: &'a [B], first_row: usize, n_rows: usize, n_blocks: usize) -> Self {
        let row = |r: usize| &weights[(first_row + r).min(n_rows - 1) * n_blocks..][..n_blocks];
        Rows { rows: std::array::from_fn(row) }
    }

    /// A block of each row.
    #[inline(always)]
    fn blocks(&self, block_idx: usize) -> [&'a B; N_ROWS] {
        each!(r in [0 1 2 3] => &self.rows[r][block_idx])
    }

    /// Fetches as many bytes as `n_blocks` blocks of each row have. All four rows together count
    /// as one stream.
    #[inline(always)]
    fn prefetch(&self, first_block: usize, n_blocks: usize) {
        let at = first_block * N_ROWS * size_of::<B>() + PREFETCH_BYTES;
        let start = self.rows[0].as_ptr().cast::<i8>().wrapping_add(at);
        for line in 0..(n_blocks * N_ROWS * size_of::<B>()).div_ceil(64) {
            // SAFETY: a prefetch may name any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(64 * line)) };
        }
    }
}

/// Sums of two neighbouring products in each word. Wide weights are signed: their magnitudes, at
/// most 128, are unsigned bytes, and the activations take their signs.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn pair_products(is_wide: bool, weights: __m256i, x_codes: __m256i) -> __m256i {
    if is_wide {
        _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x_codes, weights))
    } else {
        _mm256_maddubs_epi16(weights, x_codes)
    }
}

/// Writes the tokens' sums of as many rows as there are.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn store<const N: usize>(sums: [__m128; N], out: &mut [f32], first_row: usize, n_rows: usize) {
    for (out, sums) in out.chunks_exact_mut(n_rows).zip(sums) {
        let mut values = [0.0; N_ROWS];
        // SAFETY: the array is sixteen bytes.
        unsafe { _mm_storeu_ps(values.as_mut_ptr(), sums) };
        let out = &mut out[first_row..n_rows.min(first_row + N_ROWS)];
        out.copy_from_slice(&values[..out.len()]);
    }
}
