//! Tiles of blocks of 32.

use super::codes::{every_fourth, headers, high_f16, low_f16, max_unsigned, piece, transpose};
use super::dot::IntegerDot;
use super::tile::{HALF_ROWS, TILE_COLS, Tile, TileActivations};
use crate::format::{FLAT_LEN, Flat};
use std::arch::x86_64::*;
use std::marker::PhantomData;

const N_BLOCKS: usize = TILE_COLS / FLAT_LEN;

/// Indexed by block, then half.
pub struct FlatTile<F> {
    /// For each four consecutive weights of the block, their unsigned bytes.
    codes: [[[__m512i; FLAT_LEN / 4]; 2]; N_BLOCKS],
    scales: [[__m512; 2]; N_BLOCKS],
    minimums: [[__m512; 2]; N_BLOCKS],
    format: PhantomData<F>,
}

impl<F: Flat> Tile<F> for FlatTile<F> {
    #[inline(always)]
    unsafe fn zeroed() -> Self {
        // SAFETY: registers of zeros are as good as any.
        unsafe { std::mem::zeroed() }
    }

    #[inline(always)]
    unsafe fn unpack(&mut self, half: usize, block: usize, rows: &[*const F::Block; HALF_ROWS]) {
        // SAFETY: the caller's promise.
        unsafe {
            let mut pieces = [[_mm512_setzero_si512(); 4]; 2];
            for i in 0..4 {
                let blocks = every_fourth(rows, i);
                pieces[0][i] = piece(&F::LAYOUT, blocks, 0);
                pieces[1][i] = piece(&F::LAYOUT, blocks, 1);
            }
            let codes = self.codes[block][half].as_chunks_mut().0;
            codes[0] = transpose(&pieces[0]);
            codes[1] = transpose(&pieces[1]);
            let headers = headers(|lane, i| rows[4 * lane + i].cast());
            self.scales[block][half] = low_f16(headers);
            if F::HAS_MINIMUM {
                self.minimums[block][half] = high_f16(headers);
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
        assert!(n_blocks <= N_BLOCKS);
        // What a code's offset takes from each integer sum, and what meets the minimums.
        let (mut offsets, mut x_sums) = ([[0; N_BLOCKS]; N], [[0.0; N_BLOCKS]; N]);
        let x_codes: [_; N] = std::array::from_fn(|t| &x.codes(t)[..n_blocks * FLAT_LEN]);
        let x_scales: [_; N] = std::array::from_fn(|t| &x.scales(t)[..n_blocks]);
        for t in 0..N {
            for (block, &sum) in x.sums(t)[..n_blocks].iter().enumerate() {
                offsets[t][block] = -F::LAYOUT.offset() * i32::from(sum);
                x_sums[t][block] = x_scales[t][block] * f32::from(sum);
            }
        }
        // SAFETY: the caller's promise about features; the slices above have `n_blocks` blocks.
        unsafe {
            for block in 0..n_blocks {
                let codes = &self.codes[block];
                let mut dots = [[_mm512_setzero_si512(); 2]; N];
                for t in 0..N {
                    dots[t] = [_mm512_set1_epi32(offsets[t][block]); 2];
                }
                for k in 0..FLAT_LEN / 4 {
                    for t in 0..N {
                        let four = x_codes[t].as_ptr().add(block * FLAT_LEN + 4 * k);
                        let four = _mm512_set1_epi32(four.cast::<i32>().read_unaligned());
                        for half in 0..2 {
                            dots[t][half] = D::dot4(dots[t][half], codes[half][k], four, max);
                        }
                    }
                }
                for t in 0..N {
                    let x_scale = _mm512_set1_ps(*x_scales[t].get_unchecked(block));
                    for half in 0..2 {
                        let scale = _mm512_mul_ps(self.scales[block][half], x_scale);
                        let dot = _mm512_cvtepi32_ps(dots[t][half]);
                        sums[t][half] = _mm512_fmadd_ps(scale, dot, sums[t][half]);
                        if F::HAS_MINIMUM {
                            let minimum = self.minimums[block][half];
                            let x_sum = _mm512_set1_ps(x_sums[t][block]);
                            sums[t][half] = _mm512_fmadd_ps(minimum, x_sum, sums[t][half]);
                        }
                    }
                }
            }
        }
    }
}
