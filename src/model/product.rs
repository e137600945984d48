//! Matrix products over the pool.
//!
//! A product's rows are shared out in panels of `PANEL_ROWS`, and every panel writes a stretch of
//! memory of its own: results lie panel by panel ([`Panels`]), not token by token. That needs no
//! locks and no unsafe code, and for a single token the two orders are the same.

use super::weights::Matrix;
use crate::compute::Compute;
use gatefold_quant::{ActivationKind, Activations};
use rayon::prelude::*;

/// Rows of a matrix that one task multiplies: enough to pay for handing the task out (some
/// 150 KB of weights in Mixtral), few enough to keep all threads busy to the end.
const PANEL_ROWS: usize = 64;

/// A result `[n_tokens, n_rows]`, stored as panels `[n_tokens, up to PANEL_ROWS]`.
#[derive(Default)]
pub struct Panels {
    n_tokens: usize,
    n_rows: usize,
    values: Vec<f32>,
}

impl Panels {
    /// Changes the shape, keeping the memory. The contents are unspecified until written.
    fn reset(&mut self, n_tokens: usize, n_rows: usize) {
        (self.n_tokens, self.n_rows) = (n_tokens, n_rows);
        self.values.resize(n_tokens * n_rows, 0.0);
    }

    /// Calls `op` with the matching slices of `row`, `[n_rows]`, and of one token's values.
    pub fn with_token(&self, token_idx: usize, row: &mut [f32], op: impl Fn(&mut [f32], &[f32])) {
        let panels = self.values.chunks(self.n_tokens * PANEL_ROWS);
        for (row, panel) in row.chunks_mut(PANEL_ROWS).zip(panels) {
            op(row, &panel[token_idx * row.len()..][..row.len()]);
        }
    }

    /// Copies one token's values to `row`, `[n_rows]`.
    pub fn copy_token(&self, token_idx: usize, row: &mut [f32]) {
        self.with_token(token_idx, row, |row, values| row.copy_from_slice(values));
    }
}

/// Rows of values in every form that the matrices they meet ask for.
#[derive(Default)]
pub struct Inputs(Vec<Activations>);

impl Inputs {
    /// Stores `n_tokens` rows of `cols` values, each made by `row(token_idx, out)`, for products
    /// with `matrices`.
    pub fn fill<'m>(
        &mut self,
        compute: &Compute,
        (n_tokens, cols): (usize, usize),
        matrices: impl Iterator<Item = &'m Matrix>,
        row: impl Fn(usize, &mut [f32]) + Sync,
    ) {
        let mut kinds: Vec<ActivationKind> = Vec::new();
        for matrix in matrices {
            if !kinds.contains(&matrix.format.activations) {
                kinds.push(matrix.format.activations);
            }
        }
        self.0.resize_with(kinds.len(), || Activations::zeros(ActivationKind::F32, 0, 1));
        for (activations, kind) in self.0.iter_mut().zip(kinds) {
            activations.reset(kind, n_tokens, cols);
            let rows: Vec<_> = activations.rows_mut().enumerate().collect();
            rows.into_par_iter().for_each_init(
                || vec![0.0; cols],
                |values, (token_idx, stored)| {
                    row(token_idx, values);
                    stored.fill(compute.isa, values);
                },
            );
        }
    }

    fn of_kind(&self, kind: ActivationKind) -> &Activations {
        self.0
            .iter()
            .find(|activations| activations.kind() == kind)
            .expect("filled for this matrix")
    }
}

/// A product to be computed: `matrix` times the rows `tokens` of the inputs.
pub struct Product<'a> {
    /// The weights.
    pub matrix: &'a Matrix,
    /// Which rows of the inputs.
    pub tokens: &'a [u32],
    /// The result, `[tokens.len(), matrix.rows]`.
    pub out: &'a mut Panels,
}

/// Computes products that share their inputs, all of them as one set of tasks.
/// Returns the bytes of weights that were read.
pub fn multiply(compute: &Compute, inputs: &Inputs, products: Vec<Product<'_>>) -> u64 {
    let mut weight_bytes = 0;
    let mut tasks = Vec::new();
    for Product { matrix, tokens, out } in products {
        out.reset(tokens.len(), matrix.rows);
        if tokens.is_empty() {
            continue;
        }
        weight_bytes += matrix.bytes.len() as u64;
        let x = inputs.of_kind(matrix.format.activations);
        let weights = matrix.bytes.chunks(PANEL_ROWS * matrix.row_bytes());
        let panels = out.values.chunks_mut(PANEL_ROWS * tokens.len());
        tasks.extend(
            weights.zip(panels).map(|(weights, panel)| (matrix.format, weights, x, tokens, panel)),
        );
    }
    tasks.into_par_iter().with_max_len(1).for_each(|(format, weights, x, tokens, panel)| {
        format.multiply(compute.isa, weights, x, tokens, panel);
    });
    weight_bytes
}
