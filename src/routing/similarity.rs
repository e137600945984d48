//! How alike experts are by their weights.

use crate::compute::Compute;
use crate::model::{Expert, Layer, Matrix, Model};
use gatefold_quant::Isa;
use rayon::prelude::*;
use serde::Serialize;
use std::ops::ControlFlow;

/// Cosines between the matrices of a layer's experts, each taken as one long vector,
/// `[n_experts][n_experts]`.
///
/// Experts that share no history have cosines about 0; those that were made as copies of one network
/// begin at 1. Which neuron of an expert is which does not matter to what it computes, but here it
/// does: two experts may do the same with their neurons in another order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Similarity {
    /// The layer.
    pub layer: usize,
    /// Of the gates, w1 in the checkpoints' words.
    pub gate: Vec<Vec<f64>>,
    /// Of the matrices w3.
    pub up: Vec<Vec<f64>>,
    /// Of the matrices w2.
    pub down: Vec<Vec<f64>>,
    /// The standard deviation of the cosine of two random matrices: one by the root of the number of
    /// weights.
    pub by_chance: f64,
}

/// Compares the experts of every layer. `progress` hears of each of a layer's three matrices before it
/// is read, and may break it off; then there is nothing.
pub fn similarity(
    model: &Model,
    compute: &Compute,
    mut progress: impl FnMut() -> ControlFlow<()>,
) -> Option<Vec<Similarity>> {
    let layers = model.layers().iter().enumerate().map(|(layer_idx, layer)| {
        let mut cosines = |part: fn(&Expert) -> &Matrix| {
            progress().is_continue().then(|| cosines(layer, part, compute))
        };
        Some(Similarity {
            layer: layer_idx,
            gate: cosines(|expert| &expert.gate)?,
            up: cosines(|expert| &expert.up)?,
            down: cosines(|expert| &expert.down)?,
            by_chance: 1.0 / (layer.experts[0].gate.n_weights() as f64).sqrt(),
        })
    });
    layers.collect()
}

/// Rows that a task takes: their sums are added in the order of the rows, so that no figure depends
/// on the threads.
const ROWS: usize = 64;

fn cosines(layer: &Layer, part: fn(&Expert) -> &Matrix, compute: &Compute) -> Vec<Vec<f64>> {
    let matrices: Vec<&Matrix> = layer.experts.iter().map(part).collect();
    let n = matrices.len();
    let tasks = matrices[0].rows.div_ceil(ROWS);
    let sums: Vec<Vec<f64>> = compute.run(|| {
        (0..tasks).into_par_iter().map(|task| products(&matrices, task, compute.isa)).collect()
    });
    let product = |a: usize, b: usize| sums.iter().map(|sums| sums[a * n + b]).sum::<f64>();
    let products: Vec<Vec<f64>> =
        (0..n).map(|a| (0..n).map(|b| product(a.min(b), a.max(b))).collect()).collect();
    let cosine = |a: usize, b: usize| {
        let norms = (products[a][a] * products[b][b]).sqrt();
        match a == b {
            true => 1.0,
            false if norms > 0.0 => products[a][b] / norms,
            false => 0.0,
        }
    };
    (0..n).map(|a| (0..n).map(|b| cosine(a, b)).collect()).collect()
}

/// Inner products of the matrices over some rows, the upper triangle of `[n, n]`.
fn products(matrices: &[&Matrix], task: usize, isa: Isa) -> Vec<f64> {
    let (n, cols) = (matrices.len(), matrices[0].cols);
    let mut sums = vec![0.0; n * n];
    let mut rows = vec![0.0; n * cols];
    for row in task * ROWS..((task + 1) * ROWS).min(matrices[0].rows) {
        for (matrix, values) in matrices.iter().zip(rows.chunks_exact_mut(cols)) {
            matrix.dequantize_row(isa, row, values);
        }
        for a in 0..n {
            for b in a..n {
                let (a_row, b_row) = (&rows[a * cols..][..cols], &rows[b * cols..][..cols]);
                sums[a * n + b] += dot(a_row, b_row);
            }
        }
    }
    sums
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0f32; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..16 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest = a_rest.iter().zip(b_rest).map(|(a, b)| f64::from(a * b));
    lanes.iter().map(|&lane| f64::from(lane)).sum::<f64>() + rest.sum::<f64>()
}
