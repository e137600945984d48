//! Sixteen blocks at a time, each in a lane of its own.

use super::grid::Grid;
use crate::format::{Candidates, FloatKind};
use crate::vector::{Lanes, N_LANES};
use half::f16;

/// The most weights that a block, or a sub-block of a super-block, has.
pub const MAX_LEN: usize = 32;

/// A batch of sixteen blocks, transposed: `x[i]` holds weight `i` of every block.
pub struct Batch<L> {
    x: [L; MAX_LEN],
    len: usize,
    largest: L,
}

/// `weight = scale * number - minimum`, per block.
#[derive(Clone, Copy)]
pub struct Scales<L> {
    pub scale: L,
    pub minimum: L,
}

/// Which minimums a format can store.
#[derive(Clone, Copy, PartialEq)]
pub enum Minimums {
    Any,
    NotNegative,
}

/// How often the best scale found, and the minimum, are replaced by the least-squares ones for the
/// codes that they assign. More lower the error by less than two thousandths.
const N_DESCENTS: usize = 1;

/// The least positive f16.
const LEAST_F16: f32 = 5.960_464_5e-8;

/// Blocks of weights that are all nearer to zero than to the least positive f16, the least that any
/// format can express, count as zero.
const LEAST: f32 = LEAST_F16 / 2.0;

/// Weights beyond count as this: more than any format can express, and little enough for sums of
/// squares.
const MOST: f32 = (1u64 << 40) as f32;

/// 1 / scale, and 0 for 0: then every code is the one nearest to zero.
#[inline(always)]
pub fn inverse<L: Lanes>(scale: L) -> L {
    let (zero, one) = (L::splat(0.0), L::splat(1.0));
    zero.if_less(scale.abs(), one.div(scale), zero)
}

/// The f16 that a block stores for each scale: the nearest that is finite. Where f16 is coarse,
/// among its subnormals, the next one away from zero: a scale that is too small clips the largest
/// weights, which costs more than one that is too large.
#[inline(always)]
pub fn stored_scale<L: Lanes>(scale: L) -> L {
    let (zero, smallest_normal) = (L::splat(0.0), L::splat(f16::MIN_POSITIVE.to_f32()));
    let wanted = scale.abs();
    let nearest = nearest_f16(wanted);
    let next = nearest.if_less(wanted, nearest.add(L::splat(LEAST_F16)), nearest);
    let stored = wanted.if_less(smallest_normal, next, nearest);
    scale.if_less(zero, zero.sub(stored), stored)
}

/// The nearest f16 that is finite.
#[inline(always)]
pub fn nearest_f16<L: Lanes>(value: L) -> L {
    let limit = L::splat(f16::MAX.to_f32());
    let mut bytes = [0; 2 * N_LANES];
    value.min(limit).max(L::splat(0.0).sub(limit)).store(FloatKind::F16, &mut bytes);
    L::load(FloatKind::F16, &bytes)
}

/// The first values with the largest magnitude.
#[inline(always)]
fn largest<L: Lanes>(x: &[L]) -> L {
    let (mut largest, mut most) = (L::splat(0.0), L::splat(0.0));
    for &x in x {
        let magnitude = x.abs();
        largest = most.if_less(magnitude, x, largest);
        most = most.max(magnitude);
    }
    largest
}

impl<L: Lanes> Batch<L> {
    /// Up to sixteen blocks of `len` weights, 16 or 32; zeros in place of missing ones.
    #[inline(always)]
    pub fn new(weights: &[f32], len: usize) -> Self {
        let mut filled = [0.0; MAX_LEN * N_LANES];
        let mut weights = weights;
        if weights.len() < len * N_LANES {
            filled[..weights.len()].copy_from_slice(weights);
            weights = &filled;
        }
        let mut x = [L::splat(0.0); MAX_LEN];
        for (part, x) in x.as_chunks_mut::<N_LANES>().0[..len / N_LANES].iter_mut().enumerate() {
            for (block_idx, x) in x.iter_mut().enumerate() {
                let start = block_idx * len + part * N_LANES;
                *x = L::from_array(weights.as_chunks().0[start / N_LANES]);
            }
            L::transpose(x);
        }
        let mut batch = Batch { x, len, largest: largest(&x[..len]) };
        let magnitudes = batch.largest.abs().to_array();
        if magnitudes.iter().any(|magnitude| !(LEAST..=MOST).contains(magnitude)) {
            batch.limit();
        }
        batch
    }

    /// Makes zero of blocks of weights below [`LEAST`], and of weights beyond [`MOST`] that.
    #[inline(always)]
    fn limit(&mut self) {
        let (least, most, zero) = (L::splat(LEAST), L::splat(MOST), L::splat(0.0));
        let magnitude = self.largest.abs();
        for x in &mut self.x[..self.len] {
            let limited = x.min(most).max(zero.sub(most));
            *x = magnitude.if_less(least, zero, limited);
        }
        self.largest = largest(self.x());
    }

    #[inline(always)]
    fn x(&self) -> &[L] {
        &self.x[..self.len]
    }

    /// The first weights with the largest magnitude.
    #[inline(always)]
    pub fn largest(&self) -> L {
        self.largest
    }

    /// The least and the greatest value.
    #[inline(always)]
    pub fn ends(&self) -> [L; 2] {
        let (mut least, mut greatest) = (self.x[0], self.x[0]);
        for &x in self.x() {
            (least, greatest) = (least.min(x), greatest.max(x));
        }
        [least, greatest]
    }

    /// The sum of all values.
    #[inline(always)]
    pub fn sum(&self) -> L {
        let mut sum = L::splat(0.0);
        for &x in self.x() {
            sum = sum.add(x);
        }
        sum
    }

    /// The sums of squared errors.
    #[inline(always)]
    pub fn errors(&self, grid: Grid, Scales { scale, minimum }: Scales<L>) -> L {
        let inverse = inverse(scale);
        let mut errors = L::splat(0.0);
        for &x in self.x() {
            let x = x.add(minimum);
            let difference = x.sub(scale.mul(grid.nearest(x.mul(inverse))));
            errors = errors.add(difference.mul(difference));
        }
        errors
    }

    /// For the numbers `q` of the grid that are nearest to `(x + minimum) * inverse`: the sums of
    /// `x * q` and of `q * q`.
    #[inline(always)]
    pub fn products(&self, grid: Grid, minimum: L, inverse: L) -> [L; 2] {
        let (mut xq, mut qq) = (L::splat(0.0), L::splat(0.0));
        for &x in self.x() {
            let x = x.add(minimum);
            let q = grid.nearest(x.mul(inverse));
            (xq, qq) = (xq.add(x.mul(q)), qq.add(q.mul(q)));
        }
        [xq, qq]
    }

    /// For the numbers `q` of the grid that are nearest to `(x + minimum) * inverse`: the sums of `q`,
    /// `x * q` and `q * q`.
    #[inline(always)]
    pub fn moments(&self, grid: Grid, minimum: L, inverse: L) -> [L; 3] {
        let (mut sq, mut xq, mut qq) = (L::splat(0.0), L::splat(0.0), L::splat(0.0));
        for &x in self.x() {
            let q = grid.nearest(x.add(minimum).mul(inverse));
            (sq, xq, qq) = (sq.add(q), xq.add(x.mul(q)), qq.add(q.mul(q)));
        }
        [sq, xq, qq]
    }

    /// The scale with the least error, without a minimum.
    #[inline(always)]
    pub fn best_scale(&self, grid: Grid, candidates: Candidates) -> L {
        let zero = L::splat(0.0);
        let per_landing = inverse(self.largest);
        let (mut best_scale, mut best_gain) = (zero, zero);
        for step in 0..candidates.len() + N_DESCENTS {
            let inverse_scale = match candidates.get(step) {
                Some(&landing) => L::splat(landing).mul(per_landing),
                None => inverse(best_scale),
            };
            let [xq, qq] = self.products(grid, zero, inverse_scale);
            // The error of the least-squares scale xq / qq is sum(x * x) - gain.
            let scale = xq.mul(inverse(qq));
            let gain = scale.mul(xq);
            best_scale = best_gain.if_less(gain, scale, best_scale);
            best_gain = gain.max(best_gain);
        }
        best_scale
    }

    /// The scale and minimum with the least error; the numbers of the grid begin with zero.
    #[inline(always)]
    pub fn best_scales(&self, grid: Grid, allowed: Minimums, candidates: Candidates) -> Scales<L> {
        let (zero, n) = (L::splat(0.0), L::splat(self.len as f32));
        let [mut least, mut greatest] = self.ends();
        if allowed == Minimums::NotNegative {
            (least, greatest) = (least.min(zero), greatest.max(zero));
        }
        // From here on weights and minimums count from the least: sums of small numbers are more
        // precise.
        let mut batch = Batch { x: self.x, len: self.len, largest: self.largest };
        for x in &mut batch.x[..self.len] {
            *x = x.sub(least);
        }
        let (range, own_sum) = (greatest.sub(least), self.sum());
        let (per_width, sum) = (inverse(range), batch.sum());
        let mut best = Scales { scale: zero, minimum: zero };
        let mut best_gain = L::splat(f32::NEG_INFINITY);
        let n_candidates = candidates.len() * candidates.len();
        for step in 0..n_candidates + N_DESCENTS {
            let (minimum, inverse_scale) = if step < n_candidates {
                let (low, high) =
                    (candidates[step / candidates.len()], candidates[step % candidates.len()]);
                let width = grid.ends()[1] - low - high;
                (range.mul(L::splat(low / width)), per_width.mul(L::splat(width)))
            } else {
                (best.minimum, inverse(best.scale))
            };
            let [sq, xq, qq] = batch.moments(grid, minimum, inverse_scale);
            // The least-squares line through the codes. What it gains is the difference between
            // its error and that of a constant.
            let covariance = n.mul(xq).sub(sum.mul(sq));
            let mut scale = covariance.mul(inverse(n.mul(qq).sub(sq.mul(sq))));
            let mut minimum = scale.mul(sq).sub(sum).div(n);
            let mut gain = scale.mul(covariance).div(n);
            if allowed == Minimums::NotNegative {
                // Where the line's minimum is negative, the line through zero.
                let own_xq = xq.add(least.mul(sq));
                let own_scale = own_xq.mul(inverse(qq));
                let own_gain = own_scale.mul(own_xq).sub(own_sum.mul(own_sum).div(n));
                scale = minimum.if_less(least, own_scale, scale);
                gain = minimum.if_less(least, own_gain, gain);
                minimum = minimum.max(least);
            }
            best.scale = best_gain.if_less(gain, scale, best.scale);
            best.minimum = best_gain.if_less(gain, minimum, best.minimum);
            best_gain = gain.max(best_gain);
        }
        Scales { scale: best.scale, minimum: best.minimum.sub(least) }
    }
}
