//! Tiles of blocks of 256.

use super::codes::{Blocks, PIECE_LEN, load_lanes, max_unsigned, piece, transpose, unroll};
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
        // SAFETY: no memory is touched; the features are the caller's promise.
        let (zero, no_scales) = unsafe { (_mm512_setzero_si512(), _mm512_setzero_ps()) };
        SuperTile {
            codes: [[[zero; SUPER_LEN / 4]; 2]; N_BLOCKS],
            sub_scales: [[[zero; N_PIECES]; 2]; N_BLOCKS],
            sum_factors: [[[zero; N_PIECES / 2]; 2]; N_BLOCKS],
            scales: [[no_scales; 2]; N_BLOCKS],
            minimums: [[no_scales; 2]; N_BLOCKS],
            format: PhantomData,
        }
    }

    #[inline(always)]
    unsafe fn unpack(&mut self, half: usize, block: usize, address: impl Fn(usize) -> *const u8) {
        // SAFETY: the caller's promise.
        unsafe {
            // Register i has rows i, 4 + i, 8 + i and 12 + i in its lanes: transposed, the rows
            // are in order.
            let rows: [Blocks; 4] =
                std::array::from_fn(|i| std::array::from_fn(|lane| address(4 * lane + i)));
            let mut pieces = [[_mm512_setzero_si512(); 4]; N_PIECES];
            for (i, &rows) in rows.iter().enumerate() {
                unroll!(PIECE in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                    pieces[PIECE][i] = piece(&F::LAYOUT, rows, PIECE);
                });
            }
            let codes = self.codes[block][half].as_chunks_mut().0;
            for (codes, piece) in codes.iter_mut().zip(pieces) {
                *codes = transpose(piece);
            }
            let headers: [_; HALF_ROWS] =
                std::array::from_fn(|row| F::scales(&*address(row).cast::<F::Block>()));
            self.scales[block][half] = _mm512_loadu_ps(headers.map(|h| h.scale.to_f32()).as_ptr());
            self.minimums[block][half] =
                _mm512_loadu_ps(headers.map(|h| h.minimum.to_f32()).as_ptr());
            let in_lanes = |start: &dyn Fn(usize) -> *const u8| {
                let rows = |i| std::array::from_fn(|lane| start(4 * lane + i));
                transpose(std::array::from_fn(|i| load_lanes(rows(i), 0)))
            };
            // Element r of register i: the scales of pieces 4 * i.. of row r, a byte each.
            let sub_scales = in_lanes(&|row| headers[row].sub_scales.as_ptr().cast());
            for (i, four) in sub_scales.into_iter().enumerate() {
                self.sub_scales[block][half][4 * i..][..4].copy_from_slice(&sign_extended(four));
            }
            let offset = _mm512_set1_epi16(-F::LAYOUT.offset() as i16);
            let quads = if F::HAS_MINIMUM {
                in_lanes(&|row| headers[row].sub_minimums.as_ptr())
            } else {
                sub_scales
            };
            for (i, quad) in quads.into_iter().enumerate() {
                self.sum_factors[block][half][2 * i..][..2].copy_from_slice(&pairs(quad).map(
                    |pair| if F::HAS_MINIMUM { pair } else { _mm512_mullo_epi16(pair, offset) },
                ));
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply<D: IntegerDot, const HALVES: usize, const N: usize>(
        &self,
        n_blocks: usize,
        x: TileActivations<'_>,
        sums: &mut [[__m512; HALVES]; N],
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
                let mut dots = [[zero; HALVES]; N];
                for sub in 0..SUPER_LEN / F::SUB_LEN {
                    let mut sub_dots = [[zero; HALVES]; N];
                    for k in sub * F::SUB_LEN / 4..(sub + 1) * F::SUB_LEN / 4 {
                        for t in 0..N {
                            let four = x_codes[t].as_ptr().add(block * SUPER_LEN + 4 * k);
                            let four = _mm512_set1_epi32(four.cast::<i32>().read_unaligned());
                            for half in 0..HALVES {
                                let codes = self.codes[block][half][k];
                                sub_dots[t][half] = D::dot4(sub_dots[t][half], codes, four, max);
                            }
                        }
                    }
                    for half in 0..HALVES {
                        let scale = self.sub_scales[block][half][sub * F::SUB_LEN / PIECE_LEN];
                        for t in 0..N {
                            let scaled = _mm512_mullo_epi32(sub_dots[t][half], scale);
                            dots[t][half] = _mm512_add_epi32(dots[t][half], scaled);
                        }
                    }
                }
                for t in 0..N {
                    let x_scale = _mm512_set1_ps(*x_scales[t].get_unchecked(block));
                    for half in 0..HALVES {
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
