//! Products with float weights: one function over virtual lanes for every instruction set.

use crate::format::Float;
use crate::registry::Product;
use crate::vector::{Lanes, dot_floats};

/// Rows whose sums run side by side, so that one's additions need not wait for their results.
const N_ROWS: usize = 4;

/// Four rows at a time meet every token, or four tokens where registers suffice.
#[inline(always)]
pub(crate) fn multiply<L: Lanes, F: Float>(product: Product<'_, F>) {
    let n_rows = product.n_rows();
    let row_bytes = product.x.cols() * F::KIND.bytes();
    let weights: &[u8] = bytemuck::cast_slice(product.weights);
    let row = |row_idx: usize| &weights[row_idx * row_bytes..][..row_bytes];
    let mut place = |first_row: usize, first_token: usize, dots: &[&[f32]]| {
        for (t, dots) in dots.iter().enumerate() {
            let out = &mut product.out[(first_token + t) * n_rows + first_row..];
            out[..dots.len()].copy_from_slice(dots);
        }
    };
    let fours = n_rows / N_ROWS * N_ROWS;
    for first_row in (0..fours).step_by(N_ROWS) {
        let rows = [row(first_row), row(first_row + 1), row(first_row + 2), row(first_row + 3)];
        let (groups, rest) =
            product.tokens.split_at(if L::IS_ROOMY { product.tokens.len() / 4 * 4 } else { 0 });
        for (i, group) in groups.as_chunks::<4>().0.iter().enumerate() {
            let x = |t: usize| product.x.floats(group[t]);
            let [a, b, c, d] = dot_floats::<L, N_ROWS, 4>(F::KIND, rows, [x(0), x(1), x(2), x(3)]);
            place(first_row, 4 * i, &[&a, &b, &c, &d]);
        }
        for (t, &token) in rest.iter().enumerate() {
            let [dots] = dot_floats::<L, N_ROWS, 1>(F::KIND, rows, [product.x.floats(token)]);
            place(first_row, groups.len() + t, &[&dots]);
        }
    }
    for row_idx in fours..n_rows {
        for (t, &token) in product.tokens.iter().enumerate() {
            let [dots] = dot_floats::<L, 1, 1>(F::KIND, [row(row_idx)], [product.x.floats(token)]);
            place(row_idx, t, &[&dots]);
        }
    }
}
