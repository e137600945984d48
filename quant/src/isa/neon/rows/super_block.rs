//! GEMV with K-quants, super-blocks of 256.

use super::*;
use crate::codebook::{Decoded, decoded};
use crate::format::SUPER_LEN;
use crate::header::SuperScales;
use crate::isa::neon::codebook::decode;
use crate::isa::stamp::each;

/// Weights of which a token's activation sums are known.
const SIXTEENS: usize = SUPER_LEN / 16;

/// GEMV of a K-quant's matrix with `N` tokens; see [`Super`] for the sum.
#[target_feature(enable = "neon")]
pub fn multiply<F: Super, D: Dot, const N: usize>(
    product: &mut Product<'_, F>,
    first_token: usize,
    dot: D,
) {
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let x = product.x.tokens::<N>(first_token);
    let out = &mut product.out[first_token * n_rows..][..N * n_rows];
    let mut scratch = [Decoded::ZERO; N_ROWS];
    for first_row in (0..n_rows).step_by(N_ROWS) {
        let rows = Rows::new(product.weights, first_row, n_rows, n_blocks);
        let mut sums = [vdupq_n_f32(0.0); N];
        for block_idx in 0..n_blocks {
            rows.ahead(block_idx, 1).for_each(prefetch);
            let blocks = rows.blocks(block_idx);
            let headers = each!(r in [0 1 2 3] => F::scales(blocks[r]));
            let codes = decoded::<F, N_ROWS>(blocks, &mut scratch, |block, decoded| {
                decode::<F>(block, decoded);
            });
            let scales = f16_bits_to_f32(each!(r in [0 1 2 3] => headers[r].scale.to_bits()));
            let scales = if F::UNIT == 1.0 { scales } else { vmulq_n_f32(scales, F::UNIT) };
            let minimums = f16_bits_to_f32(each!(r in [0 1 2 3] => headers[r].minimum.to_bits()));
            let (x_codes, x_scales) = (x.codes::<SUPER_LEN>(block_idx), x.scales(block_idx));
            let x_sums = x.sums::<SIXTEENS>(block_idx);
            let mut dots = [[vdupq_n_s32(0); N]; N_ROWS];
            for (r, dots) in dots.iter_mut().enumerate() {
                *dots = scaled_dots::<F, D, N>(codes[r], &headers[r], x_codes, dot);
            }
            for t in 0..N {
                let x_scale = x_scales[t];
                let factors = vmulq_n_f32(scales, x_scale);
                let of_token = add_up(each!(r in [0 1 2 3] => dots[r][t]));
                sums[t] = vfmaq_f32(sums[t], factors, vcvtq_f32_s32(of_token));
                if F::HAS_MINIMUM {
                    let dots =
                        each!(r in [0 1 2 3] => dot_words(&headers[r].sub_minimums, &x_sums[t]));
                    let factors = vmulq_n_f32(minimums, x_scale);
                    sums[t] = vfmsq_f32(sums[t], factors, vcvtq_f32_s32(add_up(dots)));
                }
            }
        }
        store(to_arrays(sums), out, first_row, n_rows);
    }
}

/// The dot products of a block, decoded, with the tokens' activations, sub-scales applied, each as
/// the sum of four numbers.
#[inline(always)]
fn scaled_dots<F: Super, D: Dot, const N: usize>(
    block: &[u8],
    header: &SuperScales,
    x_codes: &[[i8; SUPER_LEN]; N],
    dot: D,
) -> [int32x4_t; N] {
    let largest = const { largest(&F::LAYOUT) };
    // SAFETY: NEON is part of the target.
    let mut dots = [unsafe { vdupq_n_s32(0) }; N];
    each!(pair in [0 1 2 3 4 5 6 7] => {
        let first = unpack(&F::LAYOUT, block, 32 * pair);
        let second = unpack(&F::LAYOUT, block, 32 * pair + 16);
        let first_scale = i32::from(header.sub_scales[2 * pair]);
        let second_scale = i32::from(header.sub_scales[2 * pair + 1]);
        for t in 0..N {
            let x_codes = x_codes[t].as_chunks().0;
            let (x_first, x_second) = (load(&x_codes[2 * pair]), load(&x_codes[2 * pair + 1]));
            // SAFETY: NEON is part of the target.
            unsafe {
                if F::SUB_LEN == 32 {
                    let dot = dot.dot([first, second], [x_first, x_second], largest);
                    dots[t] = vmlaq_n_s32(dots[t], dot, first_scale);
                } else {
                    let dot_first = dot.dot([first], [x_first], largest);
                    dots[t] = vmlaq_n_s32(dots[t], dot_first, first_scale);
                    let dot_second = dot.dot([second], [x_second], largest);
                    dots[t] = vmlaq_n_s32(dots[t], dot_second, second_scale);
                }
            }
        }
    });
    dots
}

/// The sum of products of sixteen bytes with as many words, as the sum of four numbers.
#[target_feature(enable = "neon")]
#[inline]
fn dot_words(bytes: &[u8; 16], words: &[i16; 16]) -> int32x4_t {
    // SAFETY: the references are to sixteen values.
    let (bytes, low, high) = unsafe {
        (vld1q_u8(bytes.as_ptr()), vld1q_s16(words.as_ptr()), vld1q_s16(words[8..].as_ptr()))
    };
    let first = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(bytes)));
    let second = vreinterpretq_s16_u16(vmovl_high_u8(bytes));
    let dot = vmull_s16(vget_low_s16(first), vget_low_s16(low));
    let dot = vmlal_high_s16(dot, first, low);
    let dot = vmlal_s16(dot, vget_low_s16(second), vget_low_s16(high));
    vmlal_high_s16(dot, second, high)
}
