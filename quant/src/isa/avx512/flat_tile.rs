//! Tiles of blocks of 32.

use super::codes::{Blocks, headers, high_f16, low_f16, max_unsigned, piece, transpose};
use super::dot::IntegerDot;
use super::tile::{TILE_COLS, Tile, TileActivations};
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
        // SAFETY: no memory is touched; the features are the caller's promise.
        let (no_codes, no_scales) = unsafe { (_mm512_setzero_si512(), _mm512_setzero_ps()) };
        FlatTile {
            codes: [[[no_codes; FLAT_LEN / 4]; 2]; N_BLOCKS],
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
            let first = transpose(rows.map(|rows| piece(&F::LAYOUT, rows, 0)));
            let second = transpose(rows.map(|rows| piece(&F::LAYOUT, rows, 1)));
            let (low, high) = self.codes[block][half].split_at_mut(4);
            low.copy_from_slice(&first);
            high.copy_from_slice(&second);
            let headers = headers(|lane, i| address(4 * lane + i));
            self.scales[block][half] = low_f16(headers);
            if F::HAS_MINIMUM {
                self.minimums[block][half] = high_f16(headers);
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
                let mut dots: [[__m512i; HALVES]; N] =
                    std::array::from_fn(|t| [_mm512_set1_epi32(offsets[t][block]); HALVES]);
                for k in 0..FLAT_LEN / 4 {
                    for t in 0..N {
                        let four = x_codes[t].as_ptr().add(block * FLAT_LEN + 4 * k);
                        let four = _mm512_set1_epi32(four.cast::<i32>().read_unaligned());
                        for half in 0..HALVES {
                            dots[t][half] = D::dot4(dots[t][half], codes[half][k], four, max);
                        }
                    }
                }
                for t in 0..N {
                    let x_scale = _mm512_set1_ps(*x_scales[t].get_unchecked(block));
                    for half in 0..HALVES {
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
