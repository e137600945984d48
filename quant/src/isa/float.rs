//! GEMM and GEMV with float weights: one function over virtual lanes for every instruction set. Its
//! micro-kernels are `MR x NR` of 4 rows by 4 tokens, or 4 by 1.

use crate::activations::Activations;
use crate::format::Float;
use crate::product::Product;
use crate::vector::{Lanes, dot_floats};
use std::ops::Range;

/// Rows whose sums run side by side, so that one's additions need not wait for their results.
const N_ROWS: usize = 4;

/// Tokens that meet all rows before others do: few enough to stay in the second-level cache.
const N_TOKENS: usize = 32;

/// Four rows at a time meet every token, or four tokens where registers suffice.
#[inline(always)]
pub(crate) fn multiply<L: Lanes, F: Float>(product: Product<'_, F>) {
    let n_rows = product.n_rows();
    let row_bytes = product.x.cols() * F::KIND.bytes();
    let weights: &[u8] = bytemuck::cast_slice(product.weights);
    let row = |row_idx: usize| &weights[row_idx * row_bytes..][..row_bytes];
    let fours = n_rows / N_ROWS * N_ROWS;
    let n_tokens = product.n_tokens();
    let mut out = &mut *product.out;
    for first in (0..n_tokens).step_by(N_TOKENS) {
        let tokens = first..n_tokens.min(first + N_TOKENS);
        let (block, rest) = out.split_at_mut(tokens.len() * n_rows);
        out = rest;
        for first_row in (0..fours).step_by(N_ROWS) {
            let rows = [row(first_row), row(first_row + 1), row(first_row + 2), row(first_row + 3)];
            let out = &mut block[first_row..];
            multiply_rows::<L, F, N_ROWS>(rows, product.x, tokens.clone(), out, n_rows);
        }
        for row_idx in fours..n_rows {
            let out = &mut block[row_idx..];
            multiply_rows::<L, F, 1>([row(row_idx)], product.x, tokens.clone(), out, n_rows);
        }
    }
}

/// Multiplies `R` rows with some tokens; `out` has a token's results every `stride` values.
#[inline(always)]
fn multiply_rows<L: Lanes, F: Float, const R: usize>(
    rows: [&[u8]; R],
    x: &Activations,
    mut tokens: Range<usize>,
    out: &mut [f32],
    stride: usize,
) {
    let mut out = out.chunks_mut(stride);
    let mut place =
        |dots: [f32; R]| out.next().expect("a chunk per token")[..R].copy_from_slice(&dots);
    while L::IS_ROOMY && tokens.len() >= 4 {
        let token = tokens.start;
        let four = [x.floats(token), x.floats(token + 1), x.floats(token + 2), x.floats(token + 3)];
        dot_floats::<L, R, 4>(F::KIND, rows, four).into_iter().for_each(&mut place);
        tokens.start += 4;
    }
    for token in tokens {
        dot_floats::<L, R, 1>(F::KIND, rows, [x.floats(token)]).into_iter().for_each(&mut place);
    }
}
