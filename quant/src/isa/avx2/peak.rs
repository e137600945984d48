//! Int8 products of registers alone.

use crate::isa::peak::BURST_ROUNDS;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Adds up products of ones, in a tile of eight sums of 16 bits: codes of four bits let kernels do
/// so for a whole block before they widen.
///
/// The factors come from memory anew in every round, as in a kernel. The compiler, which knows
/// nothing of what is there, can neither share products nor compute them once.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn burst_of_ones() -> u64 {
    const { assert!(2 * BURST_ROUNDS <= i16::MAX as u32) }
    let ones = [_mm256_set1_epi8(1); 4];
    let mut sums = [[_mm256_setzero_si256(); 4]; 2];
    for _ in 0..BURST_ROUNDS {
        let (unsigned, signed) = (*black_box(&[ones[0]; 2]), *black_box(&ones));
        for (sums, unsigned) in sums.iter_mut().zip(unsigned) {
            for (sum, signed) in sums.iter_mut().zip(signed) {
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(unsigned, signed));
            }
        }
    }
    let sums = sums.iter().flatten().map(|&sum| {
        let words: [u16; 16] = bytemuck::cast(sum);
        words.into_iter().map(u64::from).sum::<u64>()
    });
    sums.sum()
}
