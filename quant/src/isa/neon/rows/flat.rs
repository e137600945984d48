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
            let blocks = rows.blocks(block_idx);
            let blocks = each!(r in [0 1 2 3] => bytemuck::bytes_of(blocks[r]));
            let weights = each!(r in [0 1 2 3] => {
                each!(half in [0 1] => unpack(&F::LAYOUT, blocks[r], 16 * half))
            });
            let scales = f16_at(blocks, 0);
            let minimums = if F::HAS_MINIMUM { f16_at(blocks, 2) } else { scales };
            for t in 0..N {
                let x = each!(half in [0 1] => load(&x_codes[t][block_idx][half]));
                let x_scale = x_scales[t][block_idx];
                let dots = each!(r in [0 1 2 3] => dot.dot(weights[r], x, largest(&F::LAYOUT)));
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
