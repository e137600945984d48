//! GEMM with K-quants, super-blocks of 256.

use super::*;
use crate::codebook::{Decoded, decoded};
use crate::format::{SUPER_LEN, Super};
use crate::isa::neon::codebook::decode;
use std::marker::PhantomData;

const N_BLOCKS: usize = TILE_COLS / SUPER_LEN;
/// Sixteens of a block.
const PER_BLOCK: usize = SUPER_LEN / 16;

/// A tile of a K-quant. Its arrays are indexed by four of rows, then block or sixteen columns.
pub struct SuperTile<F> {
    codes: [[[int8x16_t; FOUR]; SIXTEENS]; N_FOURS],
    /// The sub-scale of each sixteen weights.
    sub_scales: [[int32x4_t; SIXTEENS]; N_FOURS],
    /// The sixteen sub-minimums of each block, in the order of codes.
    sub_minimums: [[[int8x16_t; FOUR]; N_BLOCKS]; N_FOURS],
    scales: [[float32x4_t; N_BLOCKS]; N_FOURS],
    minimums: [[float32x4_t; N_BLOCKS]; N_FOURS],
    format: PhantomData<F>,
}

/// Activations of four tokens.
pub struct SuperTokens {
    codes: [[int8x16_t; FOUR]; SIXTEENS],
    /// For each block the sums of its sixteens, their lowest seven bits and the rest: as bytes, in
    /// the order of codes.
    sums: [[[int8x16_t; FOUR]; 2]; N_BLOCKS],
    scales: [float32x4_t; N_BLOCKS],
}

impl<F: Super> Tile<F> for SuperTile<F> {
    type Tokens = SuperTokens;

    #[inline(always)]
    fn zeroed() -> Self {
        // SAFETY: NEON is part of the target.
        let (codes, words, floats) = unsafe { (vdupq_n_s8(0), vdupq_n_s32(0), vdupq_n_f32(0.0)) };
        SuperTile {
            codes: [[[codes; FOUR]; SIXTEENS]; N_FOURS],
            sub_scales: [[words; SIXTEENS]; N_FOURS],
            sub_minimums: [[[codes; FOUR]; N_BLOCKS]; N_FOURS],
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
        let headers = each!(r in [0 1 2 3] => F::scales(blocks[r]));
        let mut scratch = [Decoded::ZERO; FOUR];
        let blocks = decoded::<F, FOUR>(blocks, &mut scratch, |block, decoded| {
            // SAFETY: NEON is part of the target.
            unsafe { decode::<F>(block, decoded) }
        });
        let codes = &mut self.codes[four_idx].as_chunks_mut::<PER_BLOCK>().0[block_idx];
        *codes = each!(i in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] => {
            grid.rows(each!(r in [0 1 2 3] => unpack(&F::LAYOUT, blocks[r], 16 * i)))
        });
        let sub_scales = &mut self.sub_scales[four_idx].as_chunks_mut::<PER_BLOCK>().0[block_idx];
        for (i, sub_scales) in sub_scales.iter_mut().enumerate() {
            let of_rows = each!(r in [0 1 2 3] => i32::from(headers[r].sub_scales[i]));
            // SAFETY: the array is four values; NEON is part of the target.
            *sub_scales = unsafe { vld1q_s32(of_rows.as_ptr()) };
        }
        let scales = f16_bits_to_f32(each!(r in [0 1 2 3] => headers[r].scale.to_bits()));
        self.scales[four_idx][block_idx] = match F::UNIT {
            1.0 => scales,
            // SAFETY: NEON is part of the target.
            unit => unsafe { vmulq_n_f32(scales, unit) },
        };
        if F::HAS_MINIMUM {
            const { assert!(F::SUB_SCALES.highest_minimum <= i8::MAX as u8) }
            let sub_minimums =
                each!(r in [0 1 2 3] => load(bytemuck::cast_ref(&headers[r].sub_minimums)));
            self.sub_minimums[four_idx][block_idx] = grid.rows(sub_minimums);
            let minimums = each!(r in [0 1 2 3] => headers[r].minimum.to_bits());
            self.minimums[four_idx][block_idx] = f16_bits_to_f32(minimums);
        }
    }

    #[inline(always)]
    fn tokens<G: FourByFour>(x: &Columns<'_>, grid: G) -> SuperTokens {
        // SAFETY: NEON is part of the target.
        let (codes, floats) = unsafe { (vdupq_n_s8(0), vdupq_n_f32(0.0)) };
        let mut tokens = SuperTokens {
            codes: x.codes::<G, SUPER_LEN>(grid),
            sums: [[[codes; FOUR]; 2]; N_BLOCKS],
            scales: [floats; N_BLOCKS],
        };
        for block_idx in 0..x.n_blocks {
            tokens.scales[block_idx] = x.scales(block_idx);
            if F::HAS_MINIMUM {
                let sums = x.sums(block_idx);
                let sums = each!(t in [0 1 2 3] => split(sums[t]));
                tokens.sums[block_idx] =
                    each!(part in [0 1] => grid.tokens(each!(t in [0 1 2 3] => sums[t][part])));
            }
        }
        tokens
    }

    #[inline(always)]
    fn multiply<G: FourByFour>(
        &self,
        first_four: usize,
        n_blocks: usize,
        x: &SuperTokens,
        mut sums: Sums,
        grid: G,
    ) -> Sums {
        for block_idx in 0..n_blocks {
            let dots = self.scaled_dots::<G>(first_four, block_idx, x, grid);
            let x_scales = grid.of_tokens(x.scales[block_idx]);
            for (i, four_idx) in (first_four..first_four + N_TOGETHER).enumerate() {
                let scales = grid.of_rows(self.scales[four_idx][block_idx]);
                // SAFETY: NEON is part of the target.
                unsafe {
                    for j in 0..FOUR {
                        let factors = vmulq_f32(scales[j], x_scales[j]);
                        sums[i][j] = vfmaq_f32(sums[i][j], factors, vcvtq_f32_s32(dots[i][j]));
                    }
                    if F::HAS_MINIMUM {
                        let sub_minimums = self.sub_minimums[four_idx][block_idx];
                        let minimums = grid.of_rows(self.minimums[four_idx][block_idx]);
                        let [low, high] = each!(part in [0 1] => {
                            let zero = [vdupq_n_s32(0); FOUR];
                            grid.add_products(zero, sub_minimums, x.sums[block_idx][part])
                        });
                        for j in 0..FOUR {
                            let dots = vaddq_s32(vshlq_n_s32::<LOW_BITS>(high[j]), low[j]);
                            let factors = vmulq_f32(minimums[j], x_scales[j]);
                            sums[i][j] = vfmsq_f32(sums[i][j], factors, vcvtq_f32_s32(dots));
                        }
                    }
                }
            }
        }
        sums
    }
}

impl<F: Super> SuperTile<F> {
    /// The dot products of a block of some fours of rows with four tokens, sub-scales applied.
    #[inline(always)]
    fn scaled_dots<G: FourByFour>(
        &self,
        first_four: usize,
        block_idx: usize,
        x: &SuperTokens,
        grid: G,
    ) -> [[int32x4_t; FOUR]; N_TOGETHER] {
        // SAFETY: NEON is part of the target.
        let zero = unsafe { vdupq_n_s32(0) };
        let mut dots = [[zero; FOUR]; N_TOGETHER];
        let first = block_idx * PER_BLOCK;
        let per_sub = F::SUB_LEN / 16;
        for sub in (first..first + PER_BLOCK).step_by(per_sub) {
            for (four_idx, dots) in (first_four..).zip(&mut dots) {
                let mut sub_dots = [zero; FOUR];
                for i in sub..sub + per_sub {
                    sub_dots = grid.add_products(sub_dots, self.codes[four_idx][i], x.codes[i]);
                }
                // SAFETY: NEON is part of the target.
                unsafe {
                    let sub_scales = vreinterpretq_f32_s32(self.sub_scales[four_idx][sub]);
                    let sub_scales = grid.of_rows(sub_scales);
                    for i in 0..FOUR {
                        let sub_scales = vreinterpretq_s32_f32(sub_scales[i]);
                        dots[i] = vmlaq_s32(dots[i], sub_dots[i], sub_scales);
                    }
                }
            }
        }
        dots
    }
}

/// Bits of a sum that go into its first byte: all that are never negative.
const LOW_BITS: i32 = 7;

/// Sums of sixteen activations each, at most 16 * 127, as two bytes.
#[inline(always)]
fn split(sums: &[i16; 16]) -> [int8x16_t; 2] {
    // SAFETY: the array holds both eights of sums; NEON is part of the target.
    unsafe {
        let (first, second) = (vld1q_s16(sums.as_ptr()), vld1q_s16(sums[8..].as_ptr()));
        let low = vmovn_high_s16(vmovn_s16(first), second);
        let high = vshrn_n_s16::<LOW_BITS>(first);
        let high = vshrn_high_n_s16::<LOW_BITS>(high, second);
        [vandq_s8(low, vdupq_n_s8(i8::MAX)), high]
    }
}
