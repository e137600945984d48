//! Probe of the int8 peak: products of registers alone.

use super::dot::{Dot, FourByFour, Plain};
use crate::isa::peak::PROBE_ROUNDS;
use crate::isa::stamp::each;
use std::arch::aarch64::*;
use std::hint::black_box;

/// Adds up products of ones, in a tile of sixteen registers of sums: enough that none waits for
/// another.
///
/// The factors come from memory anew in every round, as in a kernel. The compiler, which knows
/// nothing of what is there, can neither share products nor compute them once.
#[inline(always)]
fn burst(
    add_products: impl Fn([int32x4_t; 4], [int8x16_t; 4], [int8x16_t; 4]) -> [int32x4_t; 4],
) -> u64 {
    // SAFETY: NEON is part of the target.
    let (one, zero) = unsafe { (vdupq_n_s8(1), vdupq_n_s32(0)) };
    let ones = [[one; 4]; 2];
    let mut sums = [[[zero; 4]; 2]; 2];
    for _ in 0..PROBE_ROUNDS {
        let (rows, tokens) = (*black_box(&ones), *black_box(&ones));
        for (sums, rows) in sums.iter_mut().zip(rows) {
            for (sums, tokens) in sums.iter_mut().zip(tokens) {
                *sums = add_products(*sums, rows, tokens);
            }
        }
    }
    let sums = sums.as_flattened().as_flattened().iter();
    // SAFETY: NEON is part of the target.
    sums.map(|&sum| unsafe { vaddvq_s32(sum) } as u64).sum()
}

/// With the instruction of a [`FourByFour`].
pub fn int8_peak<G: FourByFour>(grid: G) -> u64 {
    burst(|sums, rows, tokens| grid.add_products(sums, rows, tokens))
}

/// With multiplications into 16 bits.
pub fn plain_int8_peak() -> u64 {
    burst(|sums, rows, tokens| {
        each!(t in [0 1 2 3] => {
            let products = Plain.dot(rows, [tokens[t]; 4], i32::from(i8::MAX));
            // SAFETY: NEON is part of the target.
            unsafe { vaddq_s32(sums[t], products) }
        })
    })
}
