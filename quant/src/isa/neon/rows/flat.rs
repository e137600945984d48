//! GEMV with legacy formats, blocks of 32.

use super::*;
use crate::format::FLAT_LEN;
use crate::isa::stamp::each;

/// GEMV of a legacy format's matrix with `N` tokens; see [`Flat`] for the sum.
#[target_feature(enable = "neon")]
pub fn multiply<F: Flat, D: Dot, const N: usize>(
    product: &mut Product<'_, F>,
    first_token: usize,
    dot: D,
) {
    const { assert!(FLAT_LEN == 32) }
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let x = product.x.tokens::<N>(first_token);
    let out = &mut product.out[first_token * n_rows..][..N * n_rows];
    for first_row in (0..n_rows).step_by(N_ROWS) {
        let rows = Rows::new(product.weights, first_row, n_rows, n_blocks);
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
            let (x_codes, x_scales) = (x.codes::<FLAT_LEN>(block_idx), x.scales(block_idx));
            let x_sums = x.sums::<1>(block_idx);
            for t in 0..N {
                let x_codes = x_codes[t].as_chunks().0;
                let x_codes = each!(half in [0 1] => load(&x_codes[half]));
                let x_scale = x_scales[t];
                let dots = each!(r in [0 1 2 3] => {
                    dot.dot(weights[r], x_codes, largest(&F::LAYOUT))
                });
                let factors = vmulq_n_f32(scales, x_scale);
                sums[t] = vfmaq_f32(sums[t], factors, vcvtq_f32_s32(add_up(dots)));
                if F::HAS_MINIMUM {
                    let x_sum = x_scale * f32::from(x_sums[t][0]);
                    sums[t] = vfmaq_n_f32(sums[t], minimums, x_sum);
                }
            }
        }
        store(to_arrays(sums), out, first_row, n_rows);
    }
}
