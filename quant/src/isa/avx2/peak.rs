//! Int8 products of registers alone.

use super::dot::IntegerDot;
use crate::isa::peak::BURST_ROUNDS;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Products that add up in an open sum.
const RUN_LEN: u32 = 8;

/// Adds up products of ones, in a tile of ten sums: enough that none waits for another.
///
/// The factors come from memory anew every time, as in a kernel. The compiler, which knows nothing
/// of what is there, can neither share products nor compute them once.
///
/// # Safety
/// The CPU must have this module's features, and what `D` needs.
#[inline(always)]
pub unsafe fn burst_of_ones<D: IntegerDot>() -> u64 {
    // SAFETY: the caller's promise.
    unsafe {
        let ones = [_mm256_set1_epi8(1); 5];
        let mut sums = [[_mm256_setzero_si256(); 5]; 2];
        for _ in 0..BURST_ROUNDS / RUN_LEN {
            let mut open = sums;
            for open in open.iter_mut().flatten() {
                *open = D::open(*open);
            }
            for _ in 0..RUN_LEN {
                let (unsigned, signed) = (*black_box(&[ones[0]; 2]), *black_box(&ones));
                for (open, unsigned) in open.iter_mut().zip(unsigned) {
                    for (open, signed) in open.iter_mut().zip(signed) {
                        *open = D::add(*open, unsigned, signed);
                    }
                }
            }
            for (sum, open) in sums.iter_mut().flatten().zip(open.iter().flatten()) {
                *sum = D::close(*sum, *open);
            }
        }
        let sums = sums.iter().flatten().map(|&sum| {
            let words: [u32; 8] = bytemuck::cast(sum);
            words.into_iter().map(u64::from).sum::<u64>()
        });
        sums.sum()
    }
}
