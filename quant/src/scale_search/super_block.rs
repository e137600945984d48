//! Quantizing to K-quants, super-blocks of 256: a scale of integer sub-scales, and perhaps a minimum
//! of integer sub-minimums.

use super::batch::{Batch, Minimums, Scales, inverse, stored_scale};
use super::grid::Grid;
use crate::format::{SUPER_LEN, SubScales, Super};
use crate::header::SuperScales;
use crate::vector::{Lanes, N_LANES};
use half::f16;

/// The scales of some super-blocks, a sub-block per lane: lanes of one super-block have the same
/// scale and minimum.
#[derive(Clone, Copy)]
struct SuperFit<L> {
    scale: L,
    minimum: L,
    sub_scale: L,
    sub_minimum: L,
}

impl<L: Lanes> SuperFit<L> {
    /// What they are for each sub-block.
    #[inline(always)]
    fn scales(self) -> Scales<L> {
        Scales {
            scale: self.scale.mul(self.sub_scale),
            minimum: self.minimum.mul(self.sub_minimum),
        }
    }

    /// `other` in the lanes where `a < b`.
    #[inline(always)]
    fn or(self, a: L, b: L, other: Self) -> Self {
        SuperFit {
            scale: a.if_less(b, other.scale, self.scale),
            minimum: a.if_less(b, other.minimum, self.minimum),
            sub_scale: a.if_less(b, other.sub_scale, self.sub_scale),
            sub_minimum: a.if_less(b, other.sub_minimum, self.sub_minimum),
        }
    }
}

/// Makes super-blocks of a K-quant. Where there is `importance`, it says how much the squared error of
/// each weight counts.
#[inline(always)]
pub fn super_block<L: Lanes, F: Super>(
    weights: &[f32],
    importance: Option<&[f32]>,
    blocks: &mut [F::Block],
) {
    let grid = const { Grid::of(&F::LAYOUT) };
    let n_subs = SUPER_LEN / F::SUB_LEN;
    let group_len = N_LANES / n_subs;
    let group_weights = group_len * SUPER_LEN;
    let groups = weights.chunks(group_weights).zip(blocks.chunks_mut(group_len));
    for (group_idx, (weights, blocks)) in groups.enumerate() {
        let importance = importance.map(|all| &all[group_idx * group_weights..][..weights.len()]);
        let batch = Batch::new(weights, importance, F::SUB_LEN);
        let fit = best_fit::<L, F>(&batch);
        let Scales { scale, minimum } = fit.scales();
        let (inverses, offsets) = (inverse(scale).to_array(), minimum.to_array());
        let (block_scales, minimums) = (fit.scale.to_array(), fit.minimum.to_array());
        let (sub_scales, sub_minimums) = (fit.sub_scale.to_array(), fit.sub_minimum.to_array());
        #[expect(clippy::manual_map, reason = "a closure is compiled without the instruction set")]
        let choice = match F::LAYOUT.codebook() {
            Some(book) => Some(batch.choice(book, scale)),
            None => None,
        };
        for (i, (weights, block)) in weights.chunks_exact(SUPER_LEN).zip(blocks).enumerate() {
            let first = i * n_subs;
            let mut scales = SuperScales {
                scale: f16::from_f32(block_scales[first] / F::UNIT),
                minimum: f16::from_f32(minimums[first]),
                sub_scales: [0; 16],
                sub_minimums: [0; 16],
            };
            let mut codes = [0; SUPER_LEN];
            for part in 0..16 {
                let lane = first + part * n_subs / 16;
                scales.sub_scales[part] = sub_scales[lane] as i8;
                scales.sub_minimums[part] = sub_minimums[lane] as u8;
                if choice.is_none() {
                    let weights = &weights[part * 16..][..16];
                    let codes = &mut codes[part * 16..][..16];
                    grid.encode::<L>(weights, inverses[lane], offsets[lane], codes);
                }
            }
            let block = bytemuck::bytes_of_mut(block);
            block.fill(0);
            F::HEADER.pack(&scales, block);
            match (F::LAYOUT.codebook(), &choice) {
                (Some(book), Some(choice)) => choice.encode(book, first, n_subs, block),
                _ => F::LAYOUT.pack(&codes, block),
            }
        }
    }
}

/// How often the sub-scales are chosen; in between, the block's scales are refined. A third
/// round lowers the error by 0.1 to 0.4%.
const N_ROUNDS: usize = 2;

#[inline(always)]
fn best_fit<L: Lanes, F: Super>(batch: &Batch<L>) -> SuperFit<L> {
    let grid = const { Grid::of(&F::LAYOUT) };
    let zero = L::splat(0.0);
    let wanted = if F::HAS_MINIMUM {
        batch.best_scales(grid, Minimums::NotNegative, F::CANDIDATES)
    } else {
        Scales { scale: batch.best_scale(grid, F::CANDIDATES), minimum: zero }
    };
    // The extreme ones get the extreme integers.
    let SubScales { lowest, highest, highest_minimum } = F::SUB_SCALES;
    let farthest = if -i32::from(lowest) > i32::from(highest) { lowest } else { highest };
    let mut scale = over_subs::<L, F>(wanted.scale, farther).div(L::splat(f32::from(farthest)));
    let mut minimum = over_subs::<L, F>(wanted.minimum, farther);
    minimum = minimum.div(L::splat(f32::from(highest_minimum.max(1))));
    let mut best = SuperFit { scale: zero, minimum: zero, sub_scale: zero, sub_minimum: zero };
    let mut best_errors = L::splat(f32::INFINITY);
    for _ in 0..N_ROUNDS {
        let unit = L::splat(F::UNIT);
        (scale, minimum) = (stored_scale(scale.div(unit)).mul(unit), stored_scale(minimum));
        let (chosen, errors) = choose_subs::<L, F>(batch, wanted, scale, minimum);
        let errors = over_subs::<L, F>(errors, plus);
        best = best.or(errors, best_errors, chosen);
        best_errors = errors.min(best_errors);
        (scale, minimum) = refined::<L, F>(batch, chosen);
    }
    best
}

fn plus(a: f32, b: f32) -> f32 {
    a + b
}

/// The one with the larger magnitude.
fn farther(a: f32, b: f32) -> f32 {
    if b.abs() > a.abs() { b } else { a }
}

/// Combines the lanes of each super-block, in increasing order.
#[inline(always)]
fn over_subs<L: Lanes, F: Super>(values: L, combine: fn(f32, f32) -> f32) -> L {
    let mut values = values.to_array();
    for subs in values.chunks_exact_mut(SUPER_LEN / F::SUB_LEN) {
        let mut combined = subs[0];
        for &value in &subs[1..] {
            combined = combine(combined, value);
        }
        subs.fill(combined);
    }
    L::from_array(values)
}

/// Sub-scales are tried this far around the wanted one, without minimums; of odd ones as many of
/// these.
const N_AROUND: i8 = 3;
const N_ODD_AROUND: i8 = 2;

/// Sub-minimums are tried this far around the wanted one, each with the sub-scales this far around
/// the one that then is best.
const N_MINIMUMS_AROUND: i8 = 2;
const N_SCALES_AROUND: i8 = 1;

/// The sub-scales and sub-minimums with the least errors, and these errors.
#[inline(always)]
fn choose_subs<L: Lanes, F: Super>(
    batch: &Batch<L>,
    wanted: Scales<L>,
    scale: L,
    minimum: L,
) -> (SuperFit<L>, L) {
    let grid = const { Grid::of(&F::LAYOUT) };
    let SubScales { lowest, highest, highest_minimum } = F::SUB_SCALES;
    let (lowest, highest) = (L::splat(f32::from(lowest)), L::splat(f32::from(highest)));
    let (zero, highest_minimum) = (L::splat(0.0), L::splat(f32::from(highest_minimum)));
    let (per_scale, per_minimum) = (inverse(scale), inverse(minimum));
    let wanted_minimum = wanted.minimum.mul(per_minimum).min(highest_minimum).max(zero).round();
    let mut best = SuperFit { scale, minimum, sub_scale: zero, sub_minimum: zero };
    let mut best_errors = L::splat(f32::INFINITY);
    let [one, two, half] = [1.0, 2.0, 0.5].map(L::splat);
    let (minimums_around, scales_around) = match grid {
        _ if F::HAS_MINIMUM => (N_MINIMUMS_AROUND, N_SCALES_AROUND),
        Grid::Codebook(_) => (0, N_ODD_AROUND),
        _ => (0, N_AROUND),
    };
    for step in -minimums_around..=minimums_around {
        let step = L::splat(f32::from(step));
        let sub_minimum = wanted_minimum.add(step).min(highest_minimum).max(zero);
        let mut center = wanted.scale;
        if F::HAS_MINIMUM {
            // The best scale for this minimum and the codes that it and the wanted scale assign.
            let offset = minimum.mul(sub_minimum);
            let [xq, qq] = batch.products(grid, offset, inverse(wanted.scale));
            center = xq.mul(inverse(qq));
        }
        let center = center.mul(per_scale).min(highest).max(lowest);
        let center = match F::HEADER.is_odd() {
            true => center.sub(one).mul(half).round().mul(two).add(one),
            false => center.round(),
        };
        for step in -scales_around..=scales_around {
            let step = f32::from(step) * if F::HEADER.is_odd() { 2.0 } else { 1.0 };
            let sub_scale = center.add(L::splat(step)).min(highest).max(lowest);
            let fit = SuperFit { scale, minimum, sub_scale, sub_minimum };
            let errors = batch.errors(grid, fit.scales());
            best = best.or(errors, best_errors, fit);
            best_errors = errors.min(best_errors);
        }
    }
    (best, best_errors)
}

/// The least-squares scale and minimum for the sub-scales and the codes that they assign.
#[inline(always)]
fn refined<L: Lanes, F: Super>(batch: &Batch<L>, fit: SuperFit<L>) -> (L, L) {
    let grid = const { Grid::of(&F::LAYOUT) };
    let Scales { scale, minimum } = fit.scales();
    // x = scale * a - minimum * b with a = sub_scale * number, b = sub_minimum.
    let (a, b) = (fit.sub_scale, fit.sub_minimum);
    if !F::HAS_MINIMUM {
        let [xq, qq] = batch.products(grid, minimum, inverse(scale));
        let aa = over_subs::<L, F>(a.mul(a).mul(qq), plus);
        let xa = over_subs::<L, F>(a.mul(xq), plus);
        return (xa.mul(inverse(aa)), L::splat(0.0));
    }
    let [sq, xq, qq] = batch.moments(grid, minimum, inverse(scale));
    let aa = over_subs::<L, F>(a.mul(a).mul(qq), plus);
    let xa = over_subs::<L, F>(a.mul(xq), plus);
    let ab = over_subs::<L, F>(a.mul(b).mul(sq), plus);
    let bb = over_subs::<L, F>(b.mul(b).mul(batch.total()), plus);
    let xb = over_subs::<L, F>(b.mul(batch.sum()), plus);
    let zero = L::splat(0.0);
    let determinant = aa.mul(bb).sub(ab.mul(ab));
    let scale = xa.mul(bb).sub(xb.mul(ab)).div(determinant);
    let minimum = xa.mul(ab).sub(xb.mul(aa)).div(determinant);
    (
        zero.if_less(determinant, scale, xa.mul(inverse(aa))),
        zero.if_less(determinant, minimum, zero),
    )
}
