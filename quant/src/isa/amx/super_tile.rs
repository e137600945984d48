//! Tiles of blocks of 256: weights and sub-scales are multiplied when they are unpacked, so that
//! the integer sum of a block takes one product, as deep as the block.
//!
//! The product of a code and its sub-scale needs up to 14 bits. It is `128 * high + low`, and so is
//! the sum.

use super::registers::{Sums, TileRegisters, multiply_two_parts};
use crate::activations::{GROUP_LEN, Group};
use crate::format::{SUPER_LEN, Super};
use crate::isa::avx512::codes::columns;
use crate::isa::avx512::super_headers::{N_PIECES, SixteenHeaders, of_pairs};
use crate::isa::avx512::tile::{HALF_ROWS, Place, Tile};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// Columns that one product of tile registers takes.
const DEPTH: usize = 64;

/// One block of each row, indexed by half.
pub struct SuperTile<F> {
    registers: TileRegisters,
    /// The high and the low part of weights times sub-scales, four columns to a register.
    weights: [[[__m512i; SUPER_LEN / 4]; 2]; 2],
    /// Of each two sub-blocks, as 16-bit integers.
    sub_minimums: [[__m512i; N_PIECES / 2]; 2],
    scales: [__m512; 2],
    minimums: [__m512; 2],
    format: PhantomData<F>,
}

impl<F: Super> Tile<F> for SuperTile<F> {
    const MAX_BLOCKS: usize = 1;

    #[inline(always)]
    unsafe fn zeroed() -> Self {
        // SAFETY: no memory is touched; the features are the caller's promise.
        let (zero, zeros) = unsafe { (_mm512_setzero_si512(), _mm512_setzero_ps()) };
        SuperTile {
            registers: TileRegisters::new(),
            weights: [[[zero; _]; _]; _],
            sub_minimums: [[zero; _]; _],
            scales: [zeros; _],
            minimums: [zeros; _],
            format: PhantomData,
        }
    }

    #[inline(always)]
    unsafe fn unpack(&mut self, half: usize, _: usize, rows: &[*const F::Block; HALF_ROWS]) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut codes = [_mm512_setzero_si512(); SUPER_LEN / 4];
            columns(&F::LAYOUT, rows, &mut codes);
            let headers = SixteenHeaders::unpack::<F>(rows);
            let offset = _mm512_set1_epi16(-F::LAYOUT.offset() as i16);
            for sub in 0..SUPER_LEN / F::SUB_LEN {
                let scale = headers.sub_scales[sub];
                let scale =
                    _mm512_mask_mov_epi16(scale, 0xaaaa_aaaa, _mm512_slli_epi32::<16>(scale));
                let offset = _mm512_mullo_epi16(scale, offset);
                for k in sub * F::SUB_LEN / 4..(sub + 1) * F::SUB_LEN / 4 {
                    let [high, low] = two_parts(codes[k], scale, offset);
                    self.weights[half][0][k] = high;
                    self.weights[half][1][k] = low;
                }
            }
            self.sub_minimums[half] = headers.sub_minimums;
            self.scales[half] = headers.scales;
            self.minimums[half] = headers.minimums;
        }
    }

    #[inline(always)]
    unsafe fn multiply(&mut self, at: Place, x: Group<'_>, out: &mut [f32]) {
        let n = x.n_tokens();
        let start = at.first_block * n;
        // SAFETY: the caller's promise; the slice has the codes of the block.
        unsafe {
            let mut dots: [[Sums; 2]; 2] = [[[_mm512_setzero_si512(); GROUP_LEN]; 2]; 2];
            self.registers.configure(n, DEPTH);
            let codes = &x.codes()[start * SUPER_LEN..][..n * SUPER_LEN];
            for (weights, dots) in self.weights.iter().zip(&mut dots) {
                let parts = [weights[0].as_ptr(), weights[1].as_ptr()];
                multiply_two_parts(codes.as_ptr(), SUPER_LEN, parts, dots);
            }
            let x = SuperActivations::new::<F>(start, x);
            for half in 0..2 {
                if n > GROUP_LEN / 2 {
                    self.add_scaled::<GROUP_LEN>(half, &dots[half], &x, at, out);
                } else {
                    self.add_scaled::<{ GROUP_LEN / 2 }>(half, &dots[half], &x, at, out);
                }
            }
        }
    }
}

impl<F: Super> SuperTile<F> {
    /// Adds the integer sums of half of the rows with up to `N` tokens, scaled, to those in `out`.
    #[inline(always)]
    unsafe fn add_scaled<const N: usize>(
        &self,
        half: usize,
        [high, low]: &[Sums; 2],
        x: &SuperActivations,
        at: Place,
        out: &mut [f32],
    ) {
        // SAFETY: the caller's promise about features; memory is touched in arrays only.
        unsafe {
            let mut sums = at.load::<N>(half, out);
            for t in 0..N {
                let x_scale = _mm512_set1_ps(x.scales[t]);
                let dot = _mm512_add_epi32(_mm512_slli_epi32::<7>(high[t]), low[t]);
                let scale = _mm512_mul_ps(self.scales[half], x_scale);
                sums[t] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dot), sums[t]);
                if F::HAS_MINIMUM {
                    let mut dot = _mm512_setzero_si512();
                    for pair in 0..SUPER_LEN / F::SUB_LEN / 2 {
                        let x_sums = _mm512_set1_epi32(x.pairs[t][pair]);
                        dot = _mm512_dpwssd_epi32(dot, self.sub_minimums[half][pair], x_sums);
                    }
                    let scale = _mm512_mul_ps(self.minimums[half], x_scale);
                    sums[t] = _mm512_fnmadd_ps(scale, _mm512_cvtepi32_ps(dot), sums[t]);
                }
            }
            at.store(half, &sums, out);
        }
    }
}

/// Bytes times 16-bit integers, plus others: their bits 7 and up, and their lowest seven.
#[inline(always)]
unsafe fn two_parts(codes: __m512i, scale: __m512i, addend: __m512i) -> [__m512i; 2] {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let even = _mm512_and_si512(codes, _mm512_set1_epi16(0xff));
        let odd = _mm512_srli_epi16::<8>(codes);
        let even = _mm512_add_epi16(_mm512_mullo_epi16(even, scale), addend);
        let odd = _mm512_add_epi16(_mm512_mullo_epi16(odd, scale), addend);
        let high =
            _mm512_mask_mov_epi8(_mm512_srli_epi16::<7>(even), ODD, _mm512_slli_epi16::<1>(odd));
        let low = _mm512_mask_mov_epi8(even, ODD, _mm512_slli_epi16::<8>(odd));
        [high, _mm512_and_si512(low, _mm512_set1_epi8(0x7f))]
    }
}

/// What a block's integer sums meet, by token.
struct SuperActivations {
    scales: [f32; GROUP_LEN],
    /// See [`of_pairs`].
    pairs: [[i32; N_PIECES / 2]; GROUP_LEN],
}

impl SuperActivations {
    /// Of the group's tokens, whose first has place `start`.
    #[inline(always)]
    unsafe fn new<F: Super>(start: usize, x: Group<'_>) -> SuperActivations {
        let n = x.n_tokens();
        let mut all = SuperActivations { scales: [0.0; _], pairs: [[0; _]; _] };
        all.scales[..n].copy_from_slice(&x.scales()[start..][..n]);
        let sums: &[[i16; N_PIECES]] = x.sums().as_chunks().0;
        for (pairs, sums) in all.pairs.iter_mut().zip(&sums[start..][..n]) {
            // SAFETY: the features are the caller's promise.
            *pairs = unsafe { of_pairs::<F>(sums) };
        }
        all
    }
}
