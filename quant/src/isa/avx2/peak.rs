//! Int8 products of registers alone.

use crate::isa::peak::BURST_ROUNDS;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Adds up products of ones, in a tile of eight sums.
///
/// The factors come from memory anew in every round, as in a kernel. The compiler, which knows
/// nothing of what is there, can neither share products nor compute them once.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn burst_of_ones() -> u64 {
    let ones = [_mm256_set1_epi8(1); 4];
    let pair = _mm256_set1_epi16(1);
    let mut sums = [[_mm256_setzero_si256(); 4]; 2];
    for _ in 0..BURST_ROUNDS {
        let (unsigned, signed) = (*black_box(&[ones[0]; 2]), *black_box(&ones));
        for (sums, unsigned) in sums.iter_mut().zip(unsigned) {
            for (sum, signed) in sums.iter_mut().zip(signed) {
                let products = _mm256_maddubs_epi16(unsigned, signed);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(products, pair));
            }
        }
    }
    let sums = sums.iter().flatten().map(|&sum| {
        let words: [u32; 8] = bytemuck::cast(sum);
        words.into_iter().map(u64::from).sum::<u64>()
    });
    sums.sum()
}
