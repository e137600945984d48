//! Quantizing to legacy formats, blocks of 32: one scale, and perhaps a minimum.

use super::batch::{Batch, Minimums, Scales, inverse, nearest_f16, stored_scale};
use super::grid::Grid;
use crate::format::{FLAT_LEN, Flat, FloatKind};
use crate::vector::{Lanes, N_LANES};

/// Makes blocks of a legacy format. Where there is `importance`, it says how much the squared error of
/// each weight counts.
#[inline(always)]
pub fn flat<L: Lanes, F: Flat>(
    weights: &[f32],
    importance: Option<&[f32]>,
    blocks: &mut [F::Block],
) {
    const GROUP_WEIGHTS: usize = N_LANES * FLAT_LEN;
    let grid = const { Grid::of(&F::LAYOUT) };
    let groups = weights.chunks(GROUP_WEIGHTS).zip(blocks.chunks_mut(N_LANES));
    for (group_idx, (weights, blocks)) in groups.enumerate() {
        let importance = importance.map(|all| &all[group_idx * GROUP_WEIGHTS..][..weights.len()]);
        let batch = Batch::new(weights, importance, FLAT_LEN);
        let Scales { scale, minimum } = best_scales::<L, F>(&batch);
        let inverses = inverse(scale).to_array();
        let minimums = minimum.to_array();
        let (mut scale_bytes, mut minimum_bytes) = ([0; 2 * N_LANES], [0; 2 * N_LANES]);
        scale.store(FloatKind::F16, &mut scale_bytes);
        L::splat(0.0).sub(minimum).store(FloatKind::F16, &mut minimum_bytes);
        for (i, (weights, block)) in weights.chunks_exact(FLAT_LEN).zip(blocks).enumerate() {
            let block = bytemuck::bytes_of_mut(block);
            block.fill(0);
            block[..2].copy_from_slice(&scale_bytes[2 * i..][..2]);
            if F::HAS_MINIMUM {
                block[2..4].copy_from_slice(&minimum_bytes[2 * i..][..2]);
            }
            let mut codes = [0; FLAT_LEN];
            grid.encode::<L>(weights, inverses[i], minimums[i], &mut codes);
            F::LAYOUT.pack(&codes, block);
        }
    }
}

/// The scales and minimums with the least error among those that blocks can store: what the search
/// finds, or what just covers the weights, as other programs have it.
#[inline(always)]
fn best_scales<L: Lanes, F: Flat>(batch: &Batch<L>) -> Scales<L> {
    let grid = const { Grid::of(&F::LAYOUT) };
    let [lowest, highest] = grid.ends();
    let zero = L::splat(0.0);
    let (found, covering) = if F::HAS_MINIMUM {
        let [least, greatest] = batch.ends();
        let scale = greatest.sub(least).div(L::splat(highest));
        let covering = Scales { scale, minimum: zero.sub(least) };
        (batch.best_scales(grid, Minimums::Any, F::CANDIDATES), covering)
    } else {
        let covering = Scales { scale: batch.largest().div(L::splat(lowest)), minimum: zero };
        (Scales { scale: batch.best_scale(grid, F::CANDIDATES), minimum: zero }, covering)
    };
    let [found, covering] = [stored(found), stored(covering)];
    let (errors, covering_errors) = (batch.errors(grid, found), batch.errors(grid, covering));
    Scales {
        scale: covering_errors.if_less(errors, covering.scale, found.scale),
        minimum: covering_errors.if_less(errors, covering.minimum, found.minimum),
    }
}

/// Scales as a block stores them.
#[inline(always)]
fn stored<L: Lanes>(scales: Scales<L>) -> Scales<L> {
    Scales { scale: stored_scale(scales.scale), minimum: nearest_f16(scales.minimum) }
}
