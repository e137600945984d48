//! GEMM with K-quants, super-blocks of 256.

use super::{PartTile, Place, Tile, multiply_parts};
use crate::activations::{Activations, GROUP_LEN, Group, Tokens};
use crate::codebook::Decoded;
use crate::format::{SUPER_LEN, Super};
use crate::isa::avx512::dot::IntegerDot;
use crate::isa::avx512::headers::super_block::{
    N_SIXTEENS, PackedHeaders, SixteenHeaders, of_pairs,
};
use crate::isa::avx512::prefetch::Prefetcher;
use crate::isa::avx512::transpose::{N_ROWS, SixteenBlocks, decoded, transpose_unpack};
use crate::isa::avx512::unpack::{LANE_LEN, max_unsigned};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// Blocks of each row: 16 KB of codes.
const N_BLOCKS: usize = 2;

/// A tile of a K-quant. Its arrays are indexed by block, then half.
pub struct SuperTile<F, D> {
    /// For each four consecutive weights of the block, their unsigned bytes.
    codes: [[[__m512i; SUPER_LEN / 4]; 2]; N_BLOCKS],
    /// The packed headers, unpacked into the fields below when the tile is complete.
    headers: [[PackedHeaders; 2]; N_BLOCKS],
    /// The sub-scale of each sub-block, as [`add_scaled`] wants it.
    sub_scales: [[[__m512i; N_SIXTEENS]; 2]; N_BLOCKS],
    /// The sub-minimums of each two sub-blocks, as 16-bit integers.
    sub_minimums: [[[__m512i; N_SIXTEENS / 2]; 2]; N_BLOCKS],
    scales: [[__m512; 2]; N_BLOCKS],
    minimums: [[__m512; 2]; N_BLOCKS],
    kernel: PhantomData<(F, D)>,
}

impl<F: Super, D: IntegerDot> Tile<F> for SuperTile<F, D> {
    const MAX_BLOCKS: usize = N_BLOCKS;

    #[inline(always)]
    unsafe fn zeroed() -> Self {
        // SAFETY: registers of zeros are as good as any.
        unsafe { std::mem::zeroed() }
    }

    #[inline(always)]
    unsafe fn unpack(&mut self, half: usize, block: usize, rows: &SixteenBlocks<F::Block>) {
        // SAFETY: the caller's promise.
        unsafe {
            self.headers[block][half].copy::<F>(rows);
            let mut scratch = [Decoded::ZERO; N_ROWS];
            let rows = decoded::<F>(rows, &mut scratch);
            transpose_unpack(&F::LAYOUT, &rows, &mut self.codes[block][half]);
        }
    }

    #[inline(always)]
    unsafe fn multiply(
        &mut self,
        at: Place,
        x: &Activations,
        prefetcher: &mut Prefetcher,
        out: &mut [f32],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            for block in 0..at.n_blocks {
                for half in 0..2 {
                    self.unpack_header(block, half);
                }
            }
            multiply_parts::<D, _>(self, at, x, prefetcher, out);
        }
    }
}

impl<F: Super, D> SuperTile<F, D> {
    #[inline(always)]
    unsafe fn unpack_header(&mut self, block: usize, half: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            let headers = SixteenHeaders::unpack::<F>(&self.headers[block][half]);
            let sub_scales = self.sub_scales[block][half].iter_mut().zip(&headers.sub_scales);
            for (sub_scale, &scale) in sub_scales.take(SUPER_LEN / F::SUB_LEN) {
                *sub_scale = multiplier::<F>(scale);
            }
            self.sub_minimums[block][half] = headers.sub_minimums;
            self.scales[block][half] = headers.scales;
            self.minimums[block][half] = headers.minimums;
        }
    }
}

impl<F: Super, D: IntegerDot> PartTile<D> for SuperTile<F, D> {
    type Sums = SuperSums;

    #[inline(always)]
    unsafe fn prepare_sums(at: Place, x: Group<'_>) -> SuperSums {
        let n = x.n_tokens();
        let sums = &x.sums().as_chunks().0[at.first_block * n..(at.first_block + at.n_blocks) * n];
        let mut of_sums = SuperSums {
            offset: [[[0; N_SIXTEENS]; GROUP_LEN]; N_BLOCKS],
            pairs: [[[0; N_SIXTEENS / 2]; GROUP_LEN]; N_BLOCKS],
        };
        for (block, sums) in sums.chunks_exact(n).enumerate() {
            for (t, sums) in sums.iter().enumerate() {
                // SAFETY: the features are the caller's promise.
                unsafe {
                    of_sums.offset[block][t] = of_offset::<F>(sums);
                    of_sums.pairs[block][t] = of_pairs::<F>(sums);
                }
            }
        }
        of_sums
    }

    #[inline(always)]
    unsafe fn multiply_part<const N: usize>(
        &self,
        at: Place,
        x: Tokens<'_, N>,
        (x_sums, first_token): (&SuperSums, usize),
        prefetcher: &mut Prefetcher,
        mut sums: [[__m512; N]; 2],
    ) -> [[__m512; N]; 2] {
        let max = const { max_unsigned(&F::LAYOUT) };
        let n_subs = SUPER_LEN / F::SUB_LEN;
        // SAFETY: the caller's promise about features; loads stay inside of the arrays.
        unsafe {
            let zero = _mm512_setzero_si512();
            for block in 0..at.n_blocks {
                prefetcher.multiplying(N);
                let x_codes: &[[i8; SUPER_LEN]; N] = x.codes(at.first_block + block);
                let x_scales = x.scales(at.first_block + block);
                let offsets = &x_sums.offset[block][first_token..][..N];
                let mut totals = [[zero; 2]; N];
                for sub in 0..n_subs {
                    let mut dots = [[zero; 2]; N];
                    if F::LAYOUT.offset() != 0 {
                        for t in 0..N {
                            dots[t] = [_mm512_set1_epi32(offsets[t][sub]); 2];
                        }
                    }
                    for k in sub * F::SUB_LEN / 4..(sub + 1) * F::SUB_LEN / 4 {
                        for t in 0..N {
                            let four = x_codes[t].as_ptr().add(4 * k).cast::<i32>();
                            let four = _mm512_set1_epi32(four.read_unaligned());
                            for half in 0..2 {
                                let codes = self.codes[block][half][k];
                                dots[t][half] = D::dot4(dots[t][half], codes, four, max);
                            }
                        }
                    }
                    for half in 0..2 {
                        let scale = self.sub_scales[block][half][sub];
                        for t in 0..N {
                            let total = totals[t][half];
                            totals[t][half] = add_scaled::<F, D>(total, dots[t][half], scale);
                        }
                    }
                }
                for t in 0..N {
                    let x_scale = _mm512_set1_ps(x_scales[t]);
                    for half in 0..2 {
                        let scale = _mm512_mul_ps(self.scales[block][half], x_scale);
                        let dot = _mm512_cvtepi32_ps(totals[t][half]);
                        sums[half][t] = _mm512_fmadd_ps(scale, dot, sums[half][t]);
                        if F::HAS_MINIMUM {
                            let pairs = &x_sums.pairs[block][first_token + t];
                            let mut dot = zero;
                            for pair in 0..n_subs / 2 {
                                let minimums = self.sub_minimums[block][half][pair];
                                dot = D::dot2(dot, minimums, _mm512_set1_epi32(pairs[pair]));
                            }
                            let scale = _mm512_mul_ps(self.minimums[block][half], x_scale);
                            let dot = _mm512_cvtepi32_ps(dot);
                            sums[half][t] = _mm512_fnmadd_ps(scale, dot, sums[half][t]);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// The prepared sums of a group's activations, by block and token.
pub struct SuperSums {
    /// Of each sub-block, times minus the offset of the format's codes: where its dot product
    /// starts.
    offset: [[[i32; N_SIXTEENS]; GROUP_LEN]; N_BLOCKS],
    /// Of two sub-blocks each, as 16-bit integers.
    pairs: [[[i32; N_SIXTEENS / 2]; GROUP_LEN]; N_BLOCKS],
}

/// Minus the format's offset times the sum of each sub-block, from those of its sixteens.
#[inline(always)]
unsafe fn of_offset<F: Super>(sixteens: &[i16; N_SIXTEENS]) -> [i32; N_SIXTEENS] {
    let mut subs = [0; N_SIXTEENS];
    if F::LAYOUT.offset() == 0 {
        return subs;
    }
    // SAFETY: the features are the caller's promise; loads and stores are of the arrays' sizes.
    unsafe {
        let sixteens = _mm256_loadu_si256(sixteens.as_ptr().cast());
        if F::SUB_LEN == LANE_LEN {
            let offset = _mm512_set1_epi32(-F::LAYOUT.offset());
            let offsets = _mm512_mullo_epi32(_mm512_cvtepi16_epi32(sixteens), offset);
            _mm512_storeu_si512(subs.as_mut_ptr().cast(), offsets);
        } else {
            let offset = _mm256_set1_epi16(-F::LAYOUT.offset() as i16);
            let offsets = _mm256_madd_epi16(sixteens, offset);
            _mm256_storeu_si256(subs.as_mut_ptr().cast(), offsets);
        }
    }
    subs
}

/// Whether the dot product of a sub-block fits into 16 bits.
const fn is_narrow<F: Super>() -> bool {
    let (offset, max) = (F::LAYOUT.offset(), max_unsigned(&F::LAYOUT));
    let largest = if offset > max - offset { offset } else { max - offset };
    largest * 127 * F::SUB_LEN as i32 <= i16::MAX as i32
}

/// `total + scale * dot`, for the dot product of a sub-block and what [`multiplier`] makes of its
/// scale: 16-bit products are one instruction, 32-bit ones several.
#[inline(always)]
unsafe fn add_scaled<F: Super, D: IntegerDot>(
    total: __m512i,
    dot: __m512i,
    multiplier: __m512i,
) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        if const { is_narrow::<F>() } {
            return D::dot2(total, dot, multiplier);
        }
        // The lowest byte of the dot product, and the rest of it.
        let split = _mm_set_epi8(14, 13, -128, 12, 10, 9, -128, 8, 6, 5, -128, 4, 2, 1, -128, 0);
        let split = _mm512_broadcast_i32x4(split);
        D::dot2(total, _mm512_shuffle_epi8(dot, split), multiplier)
    }
}

/// A 32-bit sub-scale as the 16-bit integers that meet its dot product: itself, and then nothing
/// if the dot product is [narrow](is_narrow), 256 times itself otherwise.
#[inline(always)]
unsafe fn multiplier<F: Super>(scale: __m512i) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let low = _mm512_and_si512(scale, _mm512_set1_epi32(0xffff));
        if const { is_narrow::<F>() } {
            low
        } else {
            _mm512_or_si512(low, _mm512_slli_epi32::<24>(scale))
        }
    }
}
