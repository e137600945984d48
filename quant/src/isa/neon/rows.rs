//! Products with a few tokens: four rows of weights at a time, each read once from where it lies.
//!
//! The lanes of a token's accumulator are the four rows, so that their sums advance together, one
//! fused multiply-add per block. A dot product leaves four sums in a register; three pairwise
//! additions turn those of four rows into one register with a row in each lane.

mod flat;
mod super_block;

use super::dot::Dot;
use super::four_rows::{FourRows, N_ROWS, store};
use super::unpack::{f16_at, largest, load, unpack, widen_bits};
use crate::format::{Flat, Super};
use crate::registry::Product;
use std::arch::aarch64::*;
use std::arch::asm;

/// Tokens that share the unpacking of the weights.
pub const N_TOKENS: usize = 4;

/// Stamps out the product with any number of tokens over `$module`'s with up to four.
macro_rules! in_fours {
    ($name:ident, $family:ident, $module:ident) => {
        pub fn $name<F: $family, D: Dot>(mut product: Product<'_, F>, dot: D) {
            let n_tokens = product.n_tokens();
            for first in (0..n_tokens).step_by(N_TOKENS) {
                // SAFETY: NEON is part of the target.
                unsafe {
                    match n_tokens - first {
                        1 => $module::multiply::<F, D, 1>(&mut product, first, dot),
                        2 => $module::multiply::<F, D, 2>(&mut product, first, dot),
                        3 => $module::multiply::<F, D, 3>(&mut product, first, dot),
                        _ => $module::multiply::<F, D, N_TOKENS>(&mut product, first, dot),
                    }
                }
            }
        }
    };
}

in_fours!(multiply_flat, Flat, flat);
in_fours!(multiply_super, Super, super_block);

/// The sums of four rows' registers, a row in each lane.
#[target_feature(enable = "neon")]
#[inline]
fn add_up([a, b, c, d]: [int32x4_t; N_ROWS]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
}

#[target_feature(enable = "neon")]
#[inline]
fn to_arrays<const N: usize>(sums: [float32x4_t; N]) -> [[f32; N_ROWS]; N] {
    let mut arrays = [[0.0; N_ROWS]; N];
    for (array, sums) in arrays.iter_mut().zip(sums) {
        // SAFETY: the reference is to four values.
        unsafe { vst1q_f32(array.as_mut_ptr(), sums) };
    }
    arrays
}

/// Fetches a line that will be read once.
#[inline(always)]
pub fn prefetch(line: *const i8) {
    // SAFETY: a prefetch may name any address.
    unsafe {
        asm!("prfm pldl1strm, [{}]", in(reg) line, options(readonly, nostack, preserves_flags))
    };
}
