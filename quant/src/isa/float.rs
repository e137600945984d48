//! Products with float weights: one function over virtual lanes for every instruction set.

use crate::format::Float;
use crate::registry::Product;
use crate::vector::{Lanes, dot_floats};

/// Weights stay in registers' reach: each row is read once and multiplied with every token.
#[inline(always)]
pub(crate) fn multiply<L: Lanes, F: Float>(product: Product<'_, F>) {
    let n_rows = product.n_rows();
    let rows = product.weights.chunks_exact(product.x.cols());
    for (row_idx, row) in rows.enumerate() {
        let row = bytemuck::cast_slice(row);
        for (t, &token) in product.tokens.iter().enumerate() {
            product.out[t * n_rows + row_idx] =
                dot_floats::<L>(F::KIND, row, product.x.floats(token));
        }
    }
}
