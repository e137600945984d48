//! Probe of the int8 peak: products of registers alone.

use super::dot::IntegerDot;
use crate::isa::peak::PROBE_ROUNDS;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Adds up products of ones, in a tile of sixteen sums: enough that none waits for another.
///
/// The factors come from memory anew in every round, as in a kernel. The compiler, which knows
/// nothing of what is there, can neither share products nor compute them once.
///
/// # Safety
/// The CPU must have this module's features, and what `D` needs.
#[inline(always)]
pub unsafe fn int8_peak<D: IntegerDot>() -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let ones = [_mm512_set1_epi8(1); 4];
        let mut sums = [[_mm512_setzero_si512(); 4]; 4];
        for _ in 0..PROBE_ROUNDS {
            let (unsigned, signed) = (*black_box(&ones), *black_box(&ones));
            for (sums, unsigned) in sums.iter_mut().zip(unsigned) {
                for (sum, signed) in sums.iter_mut().zip(signed) {
                    *sum = D::dot4(*sum, unsigned, signed, 1);
                }
            }
        }
        sums.iter().flatten().map(|&sum| _mm512_reduce_add_epi32(sum) as u64).sum()
    }
}
