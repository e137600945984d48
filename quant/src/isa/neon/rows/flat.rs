//! Rows of formats with blocks of 32.

use super::*;
use crate::format::FLAT_LEN;

/// The product of a flat format's matrix with `tokens`; see [`Flat`] for the sum.
#[target_feature(enable = "neon")]
pub fn multiply<F: Flat, D: Dot, const N: usize>(
    product: Product<'_, F>,
    tokens: [u32; N],
    dot: D,
) {
    const { assert!(FLAT_LEN == 32) }
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let x_codes: [&[[[i8; 16]; 2]]; N] =
        tokens.map(|token| &product.x.codes(token).as_chunks().0.as_chunks().0[..n_blocks]);
    let x_scales = tokens.map(|token| &product.x.scales(token)[..n_blocks]);
    let x_sums = tokens.map(|token| &product.x.sums(token)[..n_blocks]);
    for first_row in (0..n_rows).step_by(N_ROWS) {
        let rows = FourRows::new(product.weights, first_row, n_rows, n_blocks);
        let mut sums = [vdupq_n_f32(0.0); N];
        for block_idx in 0..n_blocks {
            rows.ahead(block_idx, 1).for_each(prefetch);
            let blocks = rows.blocks(block_idx).map(bytemuck::bytes_of);
            let weights = blocks.map(|b| [unpack(&F::LAYOUT, b, 0), unpack(&F::LAYOUT, b, 16)]);
            let scales = gather(blocks, 0);
            let minimums = if F::HAS_MINIMUM { gather(blocks, 2) } else { scales };
            for t in 0..N {
                let x = x_codes[t][block_idx].each_ref().map(load);
                let x_scale = x_scales[t][block_idx];
                let dots = weights.map(|weights| dot.dot(weights, x, largest(&F::LAYOUT)));
                let factors = vmulq_n_f32(scales, x_scale);
                sums[t] = vfmaq_f32(sums[t], factors, vcvtq_f32_s32(add_up(dots)));
                if F::HAS_MINIMUM {
                    let x_sum = x_scale * f32::from(x_sums[t][block_idx]);
                    sums[t] = vfmaq_n_f32(sums[t], minimums, x_sum);
                }
            }
        }
        store(to_arrays(sums), product.out, first_row, n_rows);
    }
}

/// The f16 at byte `at` of each row's block.
#[target_feature(enable = "neon")]
#[inline]
fn gather(blocks: [&[u8]; N_ROWS], at: usize) -> float32x4_t {
    widen_bits(blocks.map(|block| u16::from_le_bytes([block[at], block[at + 1]])))
}
