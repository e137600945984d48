//! Int8 products of tile registers alone.

use super::registers::{Sums, TileRegisters, multiply_four, store_four, zero_four};
use std::arch::x86_64::*;

/// Rounds of the probe, a sixteenth of the others': each has sixty-four times as many products.
const ROUNDS: usize = crate::isa::peak::PROBE_ROUNDS as usize / 16;

/// Adds up products of ones, as kernels do at best: with factors from the first-level cache.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub fn int8_peak() -> u64 {
    let ones: Sums = [_mm512_set1_epi8(1); 16];
    let mut sums = [[_mm512_setzero_si512(); 16]; 4];
    let mut registers = TileRegisters::new();
    // SAFETY: an `Isa` of this kind exists only where the registers are available; both factors are
    // 16 rows of 64 bytes, as the registers are told.
    unsafe {
        registers.configure(16, size_of::<__m512i>());
        zero_four();
        for _ in 0..ROUNDS {
            multiply_four(ones.as_ptr().cast(), size_of::<__m512i>(), [ones.as_ptr(); 4]);
        }
        store_four(&mut sums);
    }
    sums.iter().flatten().map(|&sum| _mm512_reduce_add_epi32(sum) as u64).sum()
}
