//! Sixteen blocks at a time, each in a lane of its own.

use super::entries::{Choice, Weights};
use super::grid::Grid;
use crate::codebook::Codebook;
use crate::format::{Candidates, FloatKind};
use crate::vector::{Lanes, N_LANES};
use half::f16;

/// The most weights that a block, or a sub-block of a super-block, has.
pub const MAX_LEN: usize = 32;

/// A batch of sixteen blocks, transposed: `x[i]` holds weight `i` of every block, and `importance[i]`
/// how much its squared error counts.
#[derive(Clone, Copy)]
pub struct Batch<L> {
    x: [L; MAX_LEN],
    importance: [L; MAX_LEN],
    /// The sum of all importance.
    total: L,
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

/// Sixteen blocks of `len` numbers, 16 or 32, the same place of all blocks in one row; `missing` in
/// place of blocks that are not there.
#[inline(always)]
fn transposed<L: Lanes>(numbers: &[f32], missing: f32, len: usize) -> [L; MAX_LEN] {
    let mut filled = [missing; MAX_LEN * N_LANES];
    let mut numbers = numbers;
    if numbers.len() < len * N_LANES {
        filled[..numbers.len()].copy_from_slice(numbers);
        numbers = &filled;
    }
    let mut rows = [L::splat(missing); MAX_LEN];
    for (part, rows) in rows.as_chunks_mut::<N_LANES>().0[..len / N_LANES].iter_mut().enumerate() {
        for (block_idx, row) in rows.iter_mut().enumerate() {
            let start = block_idx * len + part * N_LANES;
            *row = L::from_array(numbers.as_chunks().0[start / N_LANES]);
        }
        L::transpose(rows);
    }
    rows
}

impl<L: Lanes> Batch<L> {
    /// Up to sixteen blocks of `len` weights, 16 or 32, and how much each one's error counts, where
    /// not all count the same; zeros in place of missing blocks.
    #[inline(always)]
    pub fn new(weights: &[f32], importance: Option<&[f32]>, len: usize) -> Self {
        let x = transposed(weights, 0.0, len);
        let largest = largest(&x[..len]);
        let (even, total) = ([L::splat(1.0); MAX_LEN], L::splat(len as f32));
        let mut batch = Batch { x, importance: even, total, len, largest };
        if let Some(importance) = importance {
            batch.importance = transposed(importance, 1.0, len);
            batch.total = L::splat(0.0);
            for &importance in &batch.importance[..len] {
                batch.total = batch.total.add(importance);
            }
        }
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

    /// The values, each with how much it counts.
    #[inline(always)]
    fn weighted(&self) -> impl Iterator<Item = (&L, &L)> {
        self.x().iter().zip(&self.importance)
    }

    /// How much all values count together.
    #[inline(always)]
    pub fn total(&self) -> L {
        self.total
    }

    /// The sum of all values, as much as they count.
    #[inline(always)]
    pub fn sum(&self) -> L {
        let mut sum = L::splat(0.0);
        for (&x, &importance) in self.weighted() {
            sum = sum.add(x.mul(importance));
        }
        sum
    }

    /// The weights, to be made of a codebook's entries.
    #[inline(always)]
    fn entries(&self, book: &'static Codebook) -> Weights<'_, L> {
        Weights { book, x: self.x(), importance: &self.importance[..self.len] }
    }

    /// The entries of a codebook with the least errors.
    #[inline(always)]
    pub fn choice(&self, book: &'static Codebook, scale: L) -> Choice {
        self.entries(book).choice(scale)
    }

    /// The sums of squared errors, as much as they count.
    #[inline(always)]
    pub fn errors(&self, grid: Grid, Scales { scale, minimum }: Scales<L>) -> L {
        if let Grid::Codebook(book) = grid {
            return self.entries(book).errors(scale);
        }
        let inverse = inverse(scale);
        let mut errors = L::splat(0.0);
        for (&x, &importance) in self.weighted() {
            let x = x.add(minimum);
            let difference = x.sub(scale.mul(grid.nearest(x.mul(inverse))));
            errors = errors.add(difference.mul(difference).mul(importance));
        }
        errors
    }

    /// For the numbers `q` of the grid that are nearest to `(x + minimum) * inverse`: the sums of
    /// `x * q` and of `q * q`, as much as they count.
    #[inline(always)]
    pub fn products(&self, grid: Grid, minimum: L, inverse: L) -> [L; 2] {
        let (mut xq, mut qq) = (L::splat(0.0), L::splat(0.0));
        if let Grid::Codebook(book) = grid {
            let Choice { numbers, .. } = self.choice(book, self::inverse(inverse.abs()));
            for ((&x, &importance), q) in self.weighted().zip(numbers) {
                let q = L::from_array(q);
                let counted = q.mul(importance);
                (xq, qq) = (xq.add(x.mul(counted)), qq.add(q.mul(counted)));
            }
            return [xq, qq];
        }
        for (&x, &importance) in self.weighted() {
            let x = x.add(minimum);
            let q = grid.nearest(x.mul(inverse));
            let counted = q.mul(importance);
            (xq, qq) = (xq.add(x.mul(counted)), qq.add(q.mul(counted)));
        }
        [xq, qq]
    }

    /// For the numbers `q` of the grid that are nearest to `(x + minimum) * inverse`: the sums of `q`,
    /// `x * q` and `q * q`, as much as they count.
    #[inline(always)]
    pub fn moments(&self, grid: Grid, minimum: L, inverse: L) -> [L; 3] {
        let (mut sq, mut xq, mut qq) = (L::splat(0.0), L::splat(0.0), L::splat(0.0));
        for (&x, &importance) in self.weighted() {
            let q = grid.nearest(x.add(minimum).mul(inverse));
            let counted = q.mul(importance);
            (sq, xq, qq) = (sq.add(counted), xq.add(x.mul(counted)), qq.add(q.mul(counted)));
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
        let (zero, n) = (L::splat(0.0), self.total);
        let [mut least, mut greatest] = self.ends();
        if allowed == Minimums::NotNegative {
            (least, greatest) = (least.min(zero), greatest.max(zero));
        }
        // From here on weights and minimums count from the least: sums of small numbers are more
        // precise.
        let mut batch = *self;
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
