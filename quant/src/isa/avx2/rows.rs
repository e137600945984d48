//! Products with a few tokens: four rows of weights at a time, each read once from where it lies.
//!
//! The lanes of a token's accumulator are the four rows, so that their sums advance together, one
//! fused multiply-add per block. Memory sets the pace; the weights are prefetched in the order in
//! which they lie, since the hardware's prefetchers see four streams that soon end.

mod flat;
mod super_block;

pub use flat::multiply_flat;
pub use super_block::multiply_super;

use crate::isa::four_rows::{FourRows, N_ROWS, store};
use std::arch::x86_64::*;

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

/// Fetches a line of weights.
#[inline(always)]
fn prefetch(line: *const i8) {
    // SAFETY: a prefetch may name any address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn to_arrays<const N: usize>(sums: [__m128; N]) -> [[f32; N_ROWS]; N] {
    let mut arrays = [[0.0; N_ROWS]; N];
    for (array, sums) in arrays.iter_mut().zip(sums) {
        // SAFETY: the array is sixteen bytes.
        unsafe { _mm_storeu_ps(array.as_mut_ptr(), sums) };
    }
    arrays
}
