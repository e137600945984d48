//! The attention half of a layer: project, normalize heads in some models, rotate, append keys and
//! values to the KV cache, attend, project back.

mod spans;

use super::product::{Inputs, Panels, Product, fill, multiply};
use super::rope::Rotation;
use super::routes::Gates;
use super::step::Step;
use super::weights::{Layer, Matrix};
use crate::architecture::Config;
use crate::compute::Compute;
use rayon::prelude::*;
use spans::{Queries, attend};

/// Memory that the layers of a step share.
#[derive(Default)]
pub(super) struct Workspace {
    q: Panels,
    k: Panels,
    v: Panels,
    queries: Vec<f32>,
    attended: Vec<f32>,
    attended_inputs: Inputs,
    projected: Panels,
}

/// Adds attention over the normalized rows `h` to the residual rows.
/// `h` must be filled for [`input_matrices`]. Returns the bytes of weights that were read.
pub(super) fn add_attention(
    compute: &Compute,
    config: &Config,
    (layer_idx, layer): (usize, &Layer),
    h: &Inputs,
    step: &mut Step<'_, '_>,
    work: &mut Workspace,
    gates: &mut Gates<'_>,
) -> u64 {
    if let Some(inputs) = &mut gates.inputs {
        inputs.add_attention(layer_idx, h.floats());
    }
    let qkv = [
        Product { matrix: &layer.q, inputs: h, out: &mut work.q },
        Product { matrix: &layer.k, inputs: h, out: &mut work.k },
        Product { matrix: &layer.v, inputs: h, out: &mut work.v },
    ];
    let qkv_bytes = multiply(compute, qkv);
    rotate_queries(compute, config, layer, step, work);
    append_kv(compute, config, (layer_idx, layer), step, work);
    attend_all(compute, config, layer_idx, step, work);

    let Workspace { attended, attended_inputs, projected, .. } = work;
    let matrix = &layer.attention_output;
    let shape = (step.rotations.len(), matrix.cols);
    attended_inputs.reset(shape, [matrix], gates.watch_inputs());
    fill(compute, [(0, &mut *attended_inputs)], matrix.cols, |_, row, out| {
        out.copy_from_slice(&attended[row * matrix.cols..][..matrix.cols]);
    });
    if let Some(inputs) = &mut gates.inputs {
        inputs.add_attended(layer_idx, attended_inputs.floats());
    }
    let product = Product { matrix, inputs: attended_inputs, out: projected };
    let output_bytes = multiply(compute, [product]);
    step.x.par_chunks_exact_mut(config.dim).enumerate().for_each(|(row, x)| {
        projected.with_token(row, x, |x, out| compute.isa.add_scaled(x, 1.0, out));
    });
    qkv_bytes + output_bytes
}

/// The matrices that a layer's normalized rows are multiplied with.
pub(super) fn input_matrices(layer: &Layer) -> impl Iterator<Item = &Matrix> {
    [&layer.q, &layer.k, &layer.v].into_iter()
}

fn rotate_queries(
    compute: &Compute,
    config: &Config,
    layer: &Layer,
    step: &Step<'_, '_>,
    work: &mut Workspace,
) {
    let row_len = config.n_heads * config.head_dim;
    let Workspace { q, queries, .. } = work;
    queries.resize(step.rotations.len() * row_len, 0.0);
    let rows = queries.par_chunks_exact_mut(row_len).zip(&step.rotations).enumerate();
    rows.for_each(|(row, (query, rotation))| {
        q.copy_token(row, query);
        rotate(compute, config, layer.q_norm.as_deref(), rotation, query);
    });
}

/// Rotates the heads of one position's queries or keys, normalized first where there is a norm.
fn rotate(
    compute: &Compute,
    config: &Config,
    norm: Option<&[f32]>,
    rotation: &Rotation,
    heads: &mut [f32],
) {
    for head in heads.chunks_exact_mut(config.head_dim) {
        if let Some(norm) = norm {
            let own = head.to_vec();
            compute.isa.rms_norm(&own, norm, config.norm_epsilon, head);
        }
        rotation.apply(head);
    }
}

/// Appends the step's keys, rotated, and values to the sequences' KV caches.
fn append_kv(
    compute: &Compute,
    config: &Config,
    (layer_idx, layer): (usize, &Layer),
    step: &mut Step<'_, '_>,
    work: &Workspace,
) {
    let row_len = config.n_kv_heads * config.head_dim;
    let mut first_row = 0;
    let mut tasks = Vec::new();
    for chunk in step.chunks.iter_mut() {
        for new_rows in chunk.cache.new_rows(chunk.tokens.len()) {
            let n_rows = new_rows.slots.len();
            tasks.push((first_row, new_rows));
            first_row += n_rows;
        }
    }
    let rotations = &step.rotations;
    let zeros = || (vec![0.0; row_len], vec![0.0; row_len]);
    tasks.into_par_iter().with_max_len(1).for_each_init(
        zeros,
        |(key, value), (first_row, mut new)| {
            for (row, slot) in (first_row..).zip(new.slots.clone()) {
                work.k.copy_token(row, key);
                work.v.copy_token(row, value);
                rotate(compute, config, layer.k_norm.as_deref(), &rotations[row], key);
                new.store(compute.isa, layer_idx, slot, key, value);
            }
        },
    );
}

fn attend_all(
    compute: &Compute,
    config: &Config,
    layer_idx: usize,
    step: &Step<'_, '_>,
    work: &mut Workspace,
) {
    let row_len = config.n_heads * config.head_dim;
    work.attended.resize(work.queries.len(), 0.0);
    let (mut queries, mut out) = (&work.queries[..], &mut work.attended[..]);
    let sequences = step.chunks.iter().map(|chunk| {
        let len = chunk.tokens.len() * row_len;
        Queries {
            cache: chunk.cache,
            position: chunk.cache.len(),
            queries: queries.split_off(..len).expect("a row per token"),
            out: out.split_off_mut(..len).expect("a row per token"),
        }
    });
    attend(compute, config, layer_idx, sequences.collect());
}
