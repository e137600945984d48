//! GEMV micro-kernels, for a few tokens: four rows of weights at a time, each read once from where
//! it lies.
//!
//! The lanes of a token's accumulator are the four rows, so that their sums advance together, one
//! fused multiply-add per block. Memory sets the pace. The four rows are a quarter of the matrix
//! apart, which makes four long streams: memory answers them faster than one stream, or four that
//! jump from row to row.

pub mod flat;
pub mod super_block;

use std::arch::x86_64::*;

/// Rows computed together.
const N_ROWS: usize = 4;
/// Bytes between what a stream of blocks reads and what it prefetches.
const STREAM_DISTANCE: usize = 2048;

/// Four rows of weights; at the matrix's end the last one repeats.
struct Rows<'a, B> {
    rows: [&'a [B]; N_ROWS],
    /// Rows between neighbours of the four.
    distance: usize,
    first: usize,
}

impl<'a, B> Rows<'a, B> {
    /// All fours of rows that make up a matrix.
    fn all(weights: &'a [B], n_rows: usize, n_blocks: usize) -> impl Iterator<Item = Self> {
        let distance = n_rows.div_ceil(N_ROWS);
        (0..distance).map(move |first| {
            let row = |r: usize| {
                &weights[(first + r * distance).min(n_rows - 1) * n_blocks..][..n_blocks]
            };
            Rows { rows: [row(0), row(1), row(2), row(3)], distance, first }
        })
    }

    /// Writes the tokens' sums of the rows, `[n_tokens, n_rows]`.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn store<const N: usize>(&self, sums: [__m128; N], out: &mut [f32]) {
        let n_rows = out.len() / N;
        for (out, sums) in out.chunks_exact_mut(n_rows).zip(sums) {
            let mut values = [0.0; N_ROWS];
            // SAFETY: the array is sixteen bytes.
            unsafe { _mm_storeu_ps(values.as_mut_ptr(), sums) };
            for (r, value) in values.into_iter().enumerate() {
                if let Some(out) = out.get_mut(self.first + r * self.distance) {
                    *out = value;
                }
            }
        }
    }
}

/// Prefetches as much as each stream's element, [`STREAM_DISTANCE`] bytes after its start.
#[inline(always)]
fn prefetch<T>(streams: [&T; N_ROWS]) {
    for start in streams {
        let start = std::ptr::from_ref(start).cast::<i8>().wrapping_add(STREAM_DISTANCE);
        for line in (0..size_of::<T>()).step_by(64) {
            // SAFETY: a prefetch may name any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
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
