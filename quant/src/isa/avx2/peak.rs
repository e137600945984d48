//! Probe of the int8 peak: products of registers alone.

use super::dot::IntegerDot;
use crate::isa::peak::PROBE_ROUNDS;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Products that add up in an accumulator.
const RUN_LEN: u32 = 8;
/// Sums that are added to in turn: enough that none waits for another.
const N_SUMS: usize = 10;

/// Adds up products of ones.
///
/// The factors come from memory anew every time, as in a kernel. The compiler, which knows nothing
/// of what is there, can neither share products nor compute them once.
///
/// # Safety
/// The CPU must have this module's features, and what `D` needs.
#[inline(always)]
pub unsafe fn int8_peak<D: IntegerDot>() -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let ones = [_mm256_set1_epi8(1); N_SUMS];
        let mut sums = [_mm256_setzero_si256(); N_SUMS];
        for _ in 0..PROBE_ROUNDS / RUN_LEN {
            let mut accs = [_mm256_setzero_si256(); N_SUMS];
            for (acc, sum) in accs.iter_mut().zip(sums) {
                *acc = D::begin(sum);
            }
            for _ in 0..RUN_LEN {
                let signed = black_box(&ones);
                for (acc, &signed) in accs.iter_mut().zip(signed) {
                    *acc = D::add(*acc, ones[0], signed);
                }
            }
            for (sum, acc) in sums.iter_mut().zip(accs) {
                *sum = D::end(*sum, acc);
            }
        }
        // Only now do they become words: the compiler would else keep words all along.
        let words: [[u32; 8]; N_SUMS] = black_box(sums).map(bytemuck::cast);
        words.as_flattened().iter().map(|&word| u64::from(word)).sum()
    }
}
