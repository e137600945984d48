//! Products with a few tokens: four rows of weights at a time, each read once from where it lies.
//!
//! The lanes of a token's accumulator are the four rows, so that their sums advance together, one
//! fused multiply-add per block. A dot product leaves four sums in a register; three pairwise
//! additions turn those of four rows into one register with a row in each lane.

mod flat;
mod super_block;

use super::dot::Dot;
use super::unpack::{f16_at, largest, load, unpack, widen_bits};
use crate::format::{Flat, Super};
use crate::isa::four_rows::{FourRows, N_ROWS, store};
use crate::registry::Product;
use std::arch::aarch64::*;
use std::arch::asm;

/// Tokens that share the unpacking of the weights.
pub const N_TOKENS: usize = 4;

/// Stamps out the product with any number of tokens over `$module`'s with up to four.
macro_rules! in_fours {
    ($name:ident, $family:ident, $module:ident) => {
        pub fn $name<F: $family, D: Dot>(product: Product<'_, F>, dot: D) {
            let (n_rows, weights, x) = (product.n_rows(), product.weights, product.x);
            let mut out = product.out;
            for tokens in product.tokens.chunks(N_TOKENS) {
                let (here, rest) = out.split_at_mut(tokens.len() * n_rows);
                out = rest;
                let product = Product::<F> { weights, x, tokens, out: here };
                // SAFETY: NEON is part of the target.
                unsafe {
                    match *tokens {
                        [a, b, c, d] => $module::multiply(product, [a, b, c, d], dot),
                        [a, b, c] => $module::multiply(product, [a, b, c], dot),
                        [a, b] => $module::multiply(product, [a, b], dot),
                        [a] => $module::multiply(product, [a], dot),
                        _ => unreachable!("chunks of up to four"),
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
