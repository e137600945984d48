//! Tiles of blocks of 256.

use super::codes::{
    PIECE_LEN, every_fourth, headers_of_four, high_f16, low_f16, max_unsigned, piece, transpose,
    unroll,
};
use super::dot::IntegerDot;
use super::tile::{HALF_ROWS, TILE_COLS, Tile, TileActivations};
use crate::format::{SUPER_LEN, Super};
use std::arch::x86_64::*;
use std::marker::PhantomData;

const N_BLOCKS: usize = TILE_COLS / SUPER_LEN;
const N_PIECES: usize = SUPER_LEN / PIECE_LEN;

/// Indexed by block, then half.
pub struct SuperTile<F> {
    /// For each four consecutive weights of the block, their unsigned bytes.
    codes: [[[__m512i; SUPER_LEN / 4]; 2]; N_BLOCKS],
    /// Of each sixteen weights.
    sub_scales: [[[__m512i; N_PIECES]; 2]; N_BLOCKS],
    /// Of each two times sixteen weights, as 16-bit integers: what their activations' sums are
    /// multiplied with. Sub-minimums, or sub-scales times minus the codes' offset.
    sum_factors: [[[__m512i; N_PIECES / 2]; 2]; N_BLOCKS],
    scales: [[__m512; 2]; N_BLOCKS],
    minimums: [[__m512; 2]; N_BLOCKS],
    format: PhantomData<F>,
}

impl<F: Super> Tile<F> for SuperTile<F> {
    #[inline(always)]
    unsafe fn zeroed() -> Self {
        // SAFETY: registers of zeros are as good as any.
        unsafe { std::mem::zeroed() }
    }

    #[inline(always)]
    unsafe fn unpack(&mut self, half: usize, block: usize, rows: &[*const F::Block; HALF_ROWS]) {
        // SAFETY: the caller's promise.
        unsafe {
            let zero = _mm512_setzero_si512();
            let mut pieces = [[zero; 4]; N_PIECES];
            for i in 0..4 {
                let blocks = every_fourth(rows, i);
                unroll!(PIECE in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                    pieces[PIECE][i] = piece(&F::LAYOUT, blocks, PIECE);
                });
            }
            let codes = self.codes[block][half].as_chunks_mut().0;
            for (codes, piece) in codes.iter_mut().zip(&pieces) {
                *codes = transpose(piece);
            }
            let (mut sub_scales, mut sub_minimums) = ([zero; 4], [zero; 4]);
            let mut scales = [0; HALF_ROWS];
            for i in 0..4 {
                let blocks = [&*rows[i], &*rows[i + 4], &*rows[i + 8], &*rows[i + 12]];
                let headers = headers_of_four::<F>(blocks);
                (sub_scales[i], sub_minimums[i]) = (headers.sub_scales, headers.sub_minimums);
                for (lane, &pair) in headers.scales.iter().enumerate() {
                    scales[4 * lane + i] = pair;
                }
            }
            let scales = _mm512_loadu_si512(scales.as_ptr().cast());
            self.scales[block][half] = low_f16(scales);
            self.minimums[block][half] = high_f16(scales);
            // Element r of register i: what pieces 4 * i.. of row r have, a byte each.
            let (sub_scales, sub_minimums) = (transpose(&sub_scales), transpose(&sub_minimums));
            let offset = _mm512_set1_epi16(-F::LAYOUT.offset() as i16);
            for i in 0..4 {
                let scales = self.sub_scales[block][half].as_chunks_mut().0;
                scales[i] = sign_extended(sub_scales[i]);
                let factors = self.sum_factors[block][half].as_chunks_mut().0;
                factors[i] = if F::HAS_MINIMUM {
                    pairs(sub_minimums[i])
                } else {
                    let [first, second] = pairs(sub_scales[i]);
                    [_mm512_mullo_epi16(first, offset), _mm512_mullo_epi16(second, offset)]
                };
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply<D: IntegerDot, const N: usize>(
        &self,
        n_blocks: usize,
        x: TileActivations<'_>,
        sums: &mut [[__m512; 2]; N],
    ) {
        let max = const { max_unsigned(&F::LAYOUT) };
        const { assert!(!F::HAS_MINIMUM || F::LAYOUT.offset() == 0) };
        let x_codes: [_; N] = std::array::from_fn(|t| &x.codes(t)[..n_blocks * SUPER_LEN]);
        let x_scales: [_; N] = std::array::from_fn(|t| &x.scales(t)[..n_blocks]);
        let x_sums: [_; N] = std::array::from_fn(|t| &x.sums(t)[..n_blocks * N_PIECES]);
        // SAFETY: the caller's promise about features; the slices above have `n_blocks` blocks.
        unsafe {
            let zero = _mm512_setzero_si512();
            for block in 0..n_blocks {
                let mut dots = [[zero; 2]; N];
                for sub in 0..SUPER_LEN / F::SUB_LEN {
                    let mut sub_dots = [[zero; 2]; N];
                    for k in sub * F::SUB_LEN / 4..(sub + 1) * F::SUB_LEN / 4 {
                        for t in 0..N {
                            let four = x_codes[t].as_ptr().add(block * SUPER_LEN + 4 * k);
                            let four = _mm512_set1_epi32(four.cast::<i32>().read_unaligned());
                            for half in 0..2 {
                                let codes = self.codes[block][half][k];
                                sub_dots[t][half] = D::dot4(sub_dots[t][half], codes, four, max);
                            }
                        }
                    }
                    for half in 0..2 {
                        let scale = self.sub_scales[block][half][sub * F::SUB_LEN / PIECE_LEN];
                        for t in 0..N {
                            let scaled = _mm512_mullo_epi32(sub_dots[t][half], scale);
                            dots[t][half] = _mm512_add_epi32(dots[t][half], scaled);
                        }
                    }
                }
                for t in 0..N {
                    let x_scale = _mm512_set1_ps(*x_scales[t].get_unchecked(block));
                    for half in 0..2 {
                        let has_offset = F::LAYOUT.offset() != 0;
                        let mut of_sums = if has_offset { dots[t][half] } else { zero };
                        if has_offset || F::HAS_MINIMUM {
                            for (pair, &factors) in self.sum_factors[block][half].iter().enumerate()
                            {
                                let two = x_sums[t].as_ptr().add(block * N_PIECES + 2 * pair);
                                let two = _mm512_set1_epi32(two.cast::<i32>().read_unaligned());
                                of_sums = D::dot2(of_sums, factors, two);
                            }
                        }
                        let dot = if has_offset { of_sums } else { dots[t][half] };
                        let scale = _mm512_mul_ps(self.scales[block][half], x_scale);
                        let dot = _mm512_cvtepi32_ps(dot);
                        sums[t][half] = _mm512_fmadd_ps(scale, dot, sums[t][half]);
                        if F::HAS_MINIMUM {
                            let scale = _mm512_mul_ps(self.minimums[block][half], x_scale);
                            let dot = _mm512_cvtepi32_ps(of_sums);
                            sums[t][half] = _mm512_fnmadd_ps(scale, dot, sums[t][half]);
                        }
                    }
                }
            }
        }
    }
}

/// The four signed bytes of each element as 32-bit integers.
#[inline(always)]
unsafe fn sign_extended(bytes: __m512i) -> [__m512i; 4] {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        [
            _mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(bytes)),
            _mm512_srai_epi32::<24>(_mm512_slli_epi32::<16>(bytes)),
            _mm512_srai_epi32::<24>(_mm512_slli_epi32::<8>(bytes)),
            _mm512_srai_epi32::<24>(bytes),
        ]
    }
}

/// The first and the last two signed bytes of each element as pairs of 16-bit integers.
#[inline(always)]
unsafe fn pairs(bytes: __m512i) -> [__m512i; 2] {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let high = _mm512_srai_epi16::<8>(bytes);
        let low = _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(bytes));
        // Words of `low`: bytes 0 and 2; of `high`: bytes 1 and 3.
        let first = _mm512_mask_blend_epi16(0xaaaa_aaaa, low, _mm512_slli_epi32::<16>(high));
        let second = _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(low), high);
        [first, second]
    }
}
