//! GEMM with legacy formats, blocks of 32.

use super::*;
use crate::format::{FLAT_LEN, Flat};
use std::marker::PhantomData;

const N_BLOCKS: usize = TILE_COLS / FLAT_LEN;

/// A tile of a legacy format. Its arrays are indexed by four of rows, then block or sixteen columns.
pub struct FlatTile<F> {
    codes: [[[int8x16_t; FOUR]; SIXTEENS]; N_FOURS],
    scales: [[float32x4_t; N_BLOCKS]; N_FOURS],
    minimums: [[float32x4_t; N_BLOCKS]; N_FOURS],
    format: PhantomData<F>,
}

/// Activations of four tokens.
pub struct FlatTokens {
    codes: [[int8x16_t; FOUR]; SIXTEENS],
    scales: [float32x4_t; N_BLOCKS],
    /// Sums of codes, times their scale; zero for formats without minimums.
    scaled_sums: [float32x4_t; N_BLOCKS],
}

impl<F: Flat> Tile<F> for FlatTile<F> {
    type Tokens = FlatTokens;

    #[inline(always)]
    fn zeroed() -> Self {
        // SAFETY: NEON is part of the target.
        let (codes, floats) = unsafe { (vdupq_n_s8(0), vdupq_n_f32(0.0)) };
        FlatTile {
            codes: [[[codes; FOUR]; SIXTEENS]; N_FOURS],
            scales: [[floats; N_BLOCKS]; N_FOURS],
            minimums: [[floats; N_BLOCKS]; N_FOURS],
            format: PhantomData,
        }
    }

    #[inline(always)]
    fn unpack<G: FourByFour>(
        &mut self,
        four_idx: usize,
        block_idx: usize,
        blocks: [&F::Block; FOUR],
        grid: G,
    ) {
        const { assert!(FLAT_LEN == 32) }
        let blocks = each!(r in [0 1 2 3] => bytemuck::bytes_of(blocks[r]));
        let codes = &mut self.codes[four_idx].as_chunks_mut::<2>().0[block_idx];
        *codes = each!(half in [0 1] => {
            grid.rows(each!(r in [0 1 2 3] => unpack(&F::LAYOUT, blocks[r], 16 * half)))
        });
        self.scales[four_idx][block_idx] = f16_at(blocks, 0);
        if F::HAS_MINIMUM {
            self.minimums[four_idx][block_idx] = f16_at(blocks, 2);
        }
    }

    #[inline(always)]
    fn tokens<G: FourByFour>(x: &Columns<'_>, grid: G) -> FlatTokens {
        // SAFETY: NEON is part of the target.
        let zeros = [unsafe { vdupq_n_f32(0.0) }; N_BLOCKS];
        let mut tokens =
            FlatTokens { codes: x.codes::<G, FLAT_LEN>(grid), scales: zeros, scaled_sums: zeros };
        for block_idx in 0..x.n_blocks {
            let scales = x.scales(block_idx);
            tokens.scales[block_idx] = scales;
            if F::HAS_MINIMUM {
                let sums = x.sums::<1>(block_idx);
                let sums = each!(t in [0 1 2 3] => f32::from(sums[t][0]));
                // SAFETY: the array is four values; NEON is part of the target.
                let scaled = unsafe { vmulq_f32(scales, vld1q_f32(sums.as_ptr())) };
                tokens.scaled_sums[block_idx] = scaled;
            }
        }
        tokens
    }

    #[inline(always)]
    fn multiply<G: FourByFour>(
        &self,
        first_four: usize,
        n_blocks: usize,
        x: &FlatTokens,
        mut sums: Sums,
        grid: G,
    ) -> Sums {
        // SAFETY: NEON is part of the target.
        let zero = unsafe { vdupq_n_s32(0) };
        for block_idx in 0..n_blocks {
            let x_codes = &x.codes.as_chunks::<2>().0[block_idx];
            let x_scales = grid.of_tokens(x.scales[block_idx]);
            let x_sums = grid.of_tokens(x.scaled_sums[block_idx]);
            for (four_idx, sums) in (first_four..).zip(&mut sums) {
                let codes = &self.codes[four_idx].as_chunks::<2>().0[block_idx];
                let dots = grid.add_products([zero; FOUR], codes[0], x_codes[0]);
                let dots = grid.add_products(dots, codes[1], x_codes[1]);
                let scales = grid.of_rows(self.scales[four_idx][block_idx]);
                let minimums = grid.of_rows(self.minimums[four_idx][block_idx]);
                for i in 0..FOUR {
                    // SAFETY: NEON is part of the target.
                    unsafe {
                        let factors = vmulq_f32(scales[i], x_scales[i]);
                        sums[i] = vfmaq_f32(sums[i], factors, vcvtq_f32_s32(dots[i]));
                        if F::HAS_MINIMUM {
                            sums[i] = vfmaq_f32(sums[i], minimums[i], x_sums[i]);
                        }
                    }
                }
            }
        }
        sums
    }
}
