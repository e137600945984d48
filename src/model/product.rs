//! Matrix products over the pool: GEMM for many tokens, GEMV for one.
//!
//! A product's rows are shared out in panels of some rows, and every panel writes a stretch of
//! memory of its own: results lie panel by panel ([`Panels`]), not token by token. That needs no
//! locks and no unsafe code, and for a single token the two orders are the same.

use super::weights::Matrix;
use crate::compute::Compute;
use gatefold_quant::{ActivationKind, Activations};
use rayon::prelude::*;

/// Rows of a matrix that one task multiplies with a few tokens: enough to pay for handing the task
/// out (some 150 KB of weights in Mixtral), few enough to keep all threads busy to the end.
const PANEL_ROWS: usize = 64;

/// Rows for many tokens: a task reads all of their activations from memory once, and this many
/// rows are work enough to make up for it.
const TALL_PANEL_ROWS: usize = 256;

/// Tokens from which on panels are tall.
const MANY_TOKENS: usize = 64;

fn panel_rows(n_tokens: usize) -> usize {
    if n_tokens < MANY_TOKENS { PANEL_ROWS } else { TALL_PANEL_ROWS }
}

/// The result of a product, `[n_tokens, n_rows]`, stored as panels `[n_tokens, up to panel_rows(n_tokens)]`.
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
        let panel_rows = panel_rows(self.n_tokens);
        let panels = self.values.chunks(self.n_tokens * panel_rows);
        for (row, panel) in row.chunks_mut(panel_rows).zip(panels) {
            op(row, &panel[token_idx * row.len()..][..row.len()]);
        }
    }

    /// Copies one token's values to `row`, `[n_rows]`.
    pub fn copy_token(&self, token_idx: usize, row: &mut [f32]) {
        self.with_token(token_idx, row, |row, values| row.copy_from_slice(values));
    }
}

/// Rows of values, one per token, in every form that the matrices they meet ask for.
#[derive(Default)]
pub struct Inputs(Vec<Activations>);

impl Inputs {
    /// Changes the shape to `[n_tokens, cols]`, for products with `matrices`; where they are watched,
    /// as floats too. The contents are unspecified until filled.
    pub fn reset<'m>(
        &mut self,
        (n_tokens, cols): (usize, usize),
        matrices: impl IntoIterator<Item = &'m Matrix>,
        is_watched: bool,
    ) {
        let watched = is_watched.then_some(ActivationKind::F32);
        let mut kinds: Vec<ActivationKind> = watched.into_iter().collect();
        for matrix in matrices {
            if !kinds.contains(&matrix.format.activations) {
                kinds.push(matrix.format.activations);
            }
        }
        self.0.resize_with(kinds.len(), || Activations::zeros(ActivationKind::F32, 0, 1));
        for (activations, kind) in self.0.iter_mut().zip(kinds) {
            activations.reset(kind, n_tokens, cols);
        }
    }

    /// The rows as they were filled, where they are watched.
    pub fn floats(&self) -> &Activations {
        self.of_kind(ActivationKind::F32)
    }

    fn of_kind(&self, kind: ActivationKind) -> &Activations {
        self.0
            .iter()
            .find(|activations| activations.kind() == kind)
            .expect("filled for this matrix")
    }
}

/// Fills several inputs of `cols` columns, all of them as one set of tasks: row `t` of the one that
/// is called `idx` with what `row(idx, t, out)` makes.
pub fn fill<'i>(
    compute: &Compute,
    inputs: impl IntoIterator<Item = (usize, &'i mut Inputs)>,
    cols: usize,
    row: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let groups = inputs.into_iter().flat_map(|(idx, inputs)| {
        let kinds = inputs.0.iter_mut();
        kinds.flat_map(move |x| x.groups_mut().map(move |group| (idx, group)))
    });
    let groups: Vec<_> = groups.collect();
    groups.into_par_iter().with_max_len(1).for_each_init(
        || vec![0.0; cols],
        |values, (idx, mut group)| {
            for t in 0..group.n_tokens() {
                row(idx, group.first_token() + t, values);
                group.fill(compute.isa, t, values);
            }
        },
    );
}

/// Fills several inputs with rows of `from`: each with those of its tokens.
pub fn gather<'i>(inputs: impl Iterator<Item = (&'i mut Inputs, &'i [u32])>, from: &Inputs) {
    let groups = inputs.flat_map(|(inputs, tokens)| {
        inputs.0.iter_mut().flat_map(move |x| {
            let from = from.of_kind(x.kind());
            x.groups_mut().map(move |group| (group, from, tokens))
        })
    });
    let groups: Vec<_> = groups.collect();
    groups.into_par_iter().with_max_len(1).for_each(|(mut group, from, tokens)| {
        let tokens = &tokens[group.first_token()..][..group.n_tokens()];
        for (t, &token) in tokens.iter().enumerate() {
            group.copy(t, from, token as usize);
        }
    });
}

/// A product to be computed: `matrix` times `inputs`, and its bias added.
pub struct Product<'a> {
    /// The weights.
    pub matrix: &'a Matrix,
    /// What they are multiplied with.
    pub inputs: &'a Inputs,
    /// The result, `[n_tokens, matrix.rows]`.
    pub out: &'a mut Panels,
}

/// Computes products, all of them as one set of tasks. Returns the bytes of weights that were read.
pub fn multiply<'a>(compute: &Compute, products: impl IntoIterator<Item = Product<'a>>) -> u64 {
    let mut weight_bytes = 0;
    let mut tasks = Vec::new();
    for Product { matrix, inputs, out } in products {
        let x = inputs.of_kind(matrix.format.activations);
        out.reset(x.n_tokens(), matrix.rows);
        if x.n_tokens() == 0 {
            continue;
        }
        weight_bytes += matrix.bytes.len() as u64;
        let panel_rows = panel_rows(x.n_tokens());
        let weights = matrix.bytes.chunks(panel_rows * matrix.row_bytes());
        let panels = out.values.chunks_mut(panel_rows * x.n_tokens()).enumerate();
        tasks.extend(weights.zip(panels).map(|(weights, (panel_idx, panel))| {
            let bias = matrix.bias.as_deref().map(|bias| &bias[panel_idx * panel_rows..]);
            (matrix.format, weights, x, bias, panel)
        }));
    }
    tasks.into_par_iter().with_max_len(1).for_each(|(format, weights, x, bias, panel)| {
        format.multiply(compute.isa, weights, x, panel);
        if let Some(bias) = bias {
            let rows = panel.len() / x.n_tokens();
            let tokens = panel.chunks_exact_mut(rows);
            tokens.for_each(|token| compute.isa.add_scaled(token, 1.0, &bias[..rows]));
        }
    });
    weight_bytes
}
