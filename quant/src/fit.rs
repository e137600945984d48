//! Fitting the scales of a block to its weights, so that rounding loses as little as possible.
//!
//! What is minimized is the plain sum of squared errors. It has a local minimum wherever a weight
//! changes its code, so there is no formula for the best scale: every search here tries a number of
//! scales around the one that just covers the weights, assigns each weight its nearest code, and
//! keeps the best. Given the codes, the best scale is the least-squares one. Super-blocks add a
//! second stage: their sub-scales are integers, so all those near the fitted one can be tried.
//!
//! Blocks are first divided by their largest magnitude: squares then neither overflow nor vanish,
//! whatever the weights.

use crate::format::{FLAT_LEN, SUPER_LEN};
use half::f16;

/// The numbers that a format's codes stand for.
pub trait Grid: Copy {
    /// The least and the greatest.
    fn ends(self) -> [f32; 2];
    /// The one nearest to `value`.
    fn nearest(self, value: f32) -> f32;
    /// The code of a number of the grid.
    fn code(self, number: f32) -> u8;
}

/// The integers from `.0` to `.1`; codes count from zero.
#[derive(Clone, Copy)]
pub struct Integers(pub f32, pub f32);

impl Grid for Integers {
    fn ends(self) -> [f32; 2] {
        [self.0, self.1]
    }

    #[inline(always)]
    fn nearest(self, value: f32) -> f32 {
        let value = if value < self.1 { value } else { self.1 };
        let value = if value > self.0 { value } else { self.0 };
        // At this magnitude an f32 has no fraction bits: adding rounds to nearest, ties to even.
        const INTEGERS_ONLY: f32 = 12_582_912.0;
        (value + INTEGERS_ONLY) - INTEGERS_ONLY
    }

    fn code(self, number: f32) -> u8 {
        (number - self.0) as u8
    }
}

/// The numbers of a table, in increasing order; codes are indices.
#[derive(Clone, Copy)]
pub struct Table(pub &'static [i8; 16]);

impl Grid for Table {
    fn ends(self) -> [f32; 2] {
        [f32::from(self.0[0]), f32::from(self.0[15])]
    }

    #[inline(always)]
    fn nearest(self, value: f32) -> f32 {
        let mut number = f32::from(self.0[0]);
        for pair in self.0.windows(2) {
            let (low, high) = (f32::from(pair[0]), f32::from(pair[1]));
            number += if value > (low + high) / 2.0 { high - low } else { 0.0 };
        }
        number
    }

    fn code(self, number: f32) -> u8 {
        self.0.iter().filter(|&&entry| f32::from(entry) < number).count() as u8
    }
}

/// The scales to try, as multiples of the grid's width over the weights' width: above one, the
/// outermost weights are clipped; below, the outermost numbers of the grid stay unused.
#[derive(Clone, Copy)]
pub struct Stretches {
    /// The least.
    pub from: f32,
    /// The greatest.
    pub to: f32,
    /// How many, evenly spaced.
    pub n: usize,
}

impl Stretches {
    fn iter(self) -> impl Iterator<Item = f32> {
        let step = (self.to - self.from) / (self.n - 1) as f32;
        (0..self.n).map(move |i| self.from + i as f32 * step)
    }
}

/// A block of weights divided by its largest magnitude.
struct Normalized<const N: usize> {
    x: [f32; N],
    magnitude: f32,
}

impl<const N: usize> Normalized<N> {
    /// `None` where every weight is nearer to zero than to the least positive f16, which is the
    /// least that any format can express.
    fn new(weights: &[f32]) -> Option<Self> {
        let magnitude = weights.iter().fold(0.0, |max: f32, weight| max.max(weight.abs()));
        let factor = 1.0 / magnitude;
        let x = std::array::from_fn(|i| weights[i] * factor);
        (magnitude > LEAST_F16 / 2.0).then_some(Normalized { x, magnitude })
    }

    /// A scale as a block stores it, and what it then is.
    fn stored(&self, scale: f32) -> (f16, f32) {
        let stored = stored_scale(scale * self.magnitude);
        (stored, stored.to_f32() / self.magnitude)
    }
}

/// The least positive f16.
const LEAST_F16: f32 = 5.960_464_5e-8;

/// The nearest f16 that is finite. Where f16 is coarse, among its subnormals, the next one away
/// from zero: a scale that is too small clips its largest weights, which costs more than one that is
/// too large.
fn stored_scale(scale: f32) -> f16 {
    let nearest = saturating_f16(scale);
    let is_less = nearest.to_f32().abs() < scale.abs();
    if is_less && scale.abs() < f16::MIN_POSITIVE.to_f32() {
        return f16::from_bits(nearest.to_bits() + 1);
    }
    nearest
}

fn saturating_f16(value: f32) -> f16 {
    f16::from_f32(value.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

/// 1 / scale, and 0 for 0: then every code is the one that stands for zero.
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// Sums of the terms of every weight. Eight running sums each, so that the compiler may use
/// vectors.
#[inline(always)]
fn sums<const N: usize, const K: usize>(x: &[f32; N], terms: impl Fn(f32) -> [f32; K]) -> [f32; K] {
    let mut lanes = [[0.0f32; 8]; K];
    for x in x.as_chunks::<8>().0 {
        for lane in 0..8 {
            let terms = terms(x[lane]);
            for k in 0..K {
                lanes[k][lane] += terms[k];
            }
        }
    }
    lanes.map(|[a, b, c, d, e, f, g, h]| ((a + e) + (c + g)) + ((b + f) + (d + h)))
}

/// The scale with the least error for `x = scale * number`.
#[inline(always)]
fn best_scale<const N: usize>(x: &[f32; N], grid: impl Grid, stretches: Stretches) -> f32 {
    let extreme = x.iter().fold(0.0, |a: f32, &b| if b.abs() > a.abs() { b } else { a });
    let (mut best_scale, mut best_gain) = (0.0, 0.0);
    for end in grid.ends() {
        for stretch in stretches.iter() {
            let inverse = end * stretch / extreme;
            let [xq, qq] = sums(x, |x| {
                let q = grid.nearest(x * inverse);
                [x * q, q * q]
            });
            // The error is sum(x * x) - gain, for the least-squares scale xq / qq.
            let gain = xq * xq / qq;
            if gain > best_gain {
                (best_scale, best_gain) = (xq / qq, gain);
            }
        }
    }
    best_scale
}

/// The sum of squared errors of `x = scale * number - minimum`.
#[inline(always)]
fn error<const N: usize>(x: &[f32; N], grid: impl Grid, scale: f32, minimum: f32) -> f32 {
    let inverse = inverse(scale);
    let [error] = sums(x, |x| {
        let x = x + minimum;
        let difference = x - scale * grid.nearest(x * inverse);
        [difference * difference]
    });
    error
}

/// The scale and minimum with the least error for `x = scale * code - minimum`, codes running from
/// 0 to `highest`. With `SIGNED` false the minimum is not negative.
#[inline(always)]
fn best_scale_and_minimum<const SIGNED: bool, const N: usize>(
    x: &[f32; N],
    highest: f32,
    stretches: Stretches,
) -> (f32, f32) {
    let grid = Integers(0.0, highest);
    let limit = if SIGNED { f32::INFINITY } else { 0.0 };
    let least = x.iter().fold(limit, |a: f32, &b| a.min(b));
    let greatest = x.iter().fold(f32::NEG_INFINITY, |a: f32, &b| a.max(b));
    let range = greatest - least;
    let mut best = (0.0, -least);
    let mut best_error = error(x, grid, 0.0, -least);
    for stretch in stretches.iter() {
        let mut scale = range / (highest * stretch);
        let mut minimum = scale * highest * (stretch - 1.0) / 2.0 - least;
        for _ in 0..2 {
            (scale, minimum) = least_squares::<SIGNED, N>(x, grid, scale, minimum);
        }
        let error = error(x, grid, scale, minimum);
        if error < best_error {
            (best, best_error) = ((scale, minimum), error);
        }
    }
    best
}

/// The best scale and minimum for the codes that the given ones assign.
#[inline(always)]
fn least_squares<const SIGNED: bool, const N: usize>(
    x: &[f32; N],
    grid: Integers,
    scale: f32,
    minimum: f32,
) -> (f32, f32) {
    let inverse = inverse(scale);
    let [sx, sq, xq, qq] = sums(x, |x| {
        let q = grid.nearest((x + minimum) * inverse);
        [x, q, x * q, q * q]
    });
    let n = N as f32;
    let scale = (n * xq - sx * sq) / (n * qq - sq * sq);
    let minimum = (scale * sq - sx) / n;
    if SIGNED || minimum > 0.0 { (scale, minimum) } else { (xq / qq, 0.0) }
}

/// A fitted block of 32 without minimum.
pub struct FlatFit {
    /// The scale.
    pub scale: f16,
    /// The minimum, to be added; 0 for formats without.
    pub minimum: f16,
    /// The codes.
    pub codes: [u8; FLAT_LEN],
}

/// Fits `weight = scale * number`.
pub fn flat(weights: &[f32], grid: impl Grid, stretches: Stretches) -> FlatFit {
    let zero = grid.code(grid.nearest(0.0));
    let mut fit = FlatFit { scale: f16::ZERO, minimum: f16::ZERO, codes: [zero; FLAT_LEN] };
    let Some(block) = Normalized::<FLAT_LEN>::new(weights) else { return fit };
    let (stored, scale) = block.stored(best_scale(&block.x, grid, stretches));
    let inverse = inverse(scale);
    fit.scale = stored;
    fit.codes = block.x.map(|x| grid.code(grid.nearest(x * inverse)));
    fit
}

/// Fits `weight = scale * code + minimum`, codes running from 0 to `highest`.
pub fn flat_with_minimum(weights: &[f32], highest: f32, stretches: Stretches) -> FlatFit {
    let mut fit = FlatFit { scale: f16::ZERO, minimum: f16::ZERO, codes: [0; FLAT_LEN] };
    let Some(block) = Normalized::<FLAT_LEN>::new(weights) else { return fit };
    let (scale, minimum) = best_scale_and_minimum::<true, _>(&block.x, highest, stretches);
    let (stored, scale) = block.stored(scale);
    fit.scale = stored;
    fit.minimum = saturating_f16(-minimum * block.magnitude);
    let (inverse, minimum) = (inverse(scale), fit.minimum.to_f32() / block.magnitude);
    let grid = Integers(0.0, highest);
    fit.codes = block.x.map(|x| grid.code(grid.nearest((x - minimum) * inverse)));
    fit
}

/// A fitted block of 256.
pub struct SuperFit {
    /// Scale of the sub-scales.
    pub scale: f16,
    /// Scale of the sub-minimums.
    pub minimum: f16,
    /// A scale per sub-block; formats with eight use the first eight.
    pub sub_scales: [i8; 16],
    /// A minimum per sub-block, likewise.
    pub sub_minimums: [u8; 16],
    /// The codes.
    pub codes: [u8; SUPER_LEN],
}

fn rounded(value: f32, lowest: i32, highest: i32) -> i32 {
    (value.round_ties_even() as i32).clamp(lowest, highest)
}

pub struct Tune {
    pub window: i32,
    pub rounds: usize,
    pub spans: &'static [f32],
}

/// Fits `weight = scale * sub_scale * number`, with a sub-scale in `lowest..-lowest` per `SUB`
/// weights.
pub fn super_symmetric<const SUB: usize>(
    weights: &[f32],
    grid: impl Grid,
    lowest: i32,
    stretches: Stretches,
    tune: Tune,
) -> SuperFit {
    let zero = grid.code(grid.nearest(0.0));
    let mut fit = SuperFit {
        scale: f16::ZERO,
        minimum: f16::ZERO,
        sub_scales: [0; 16],
        sub_minimums: [0; 16],
        codes: [zero; SUPER_LEN],
    };
    let Some(block) = Normalized::<SUPER_LEN>::new(weights) else { return fit };
    let subs = block.x.as_chunks::<SUB>().0;
    let mut wanted = [0.0f32; 16];
    for (wanted, x) in wanted.iter_mut().zip(subs) {
        *wanted = best_scale(x, grid, stretches);
    }
    let extreme = wanted.iter().fold(0.0, |a: f32, &b| if b.abs() > a.abs() { b } else { a });
    let mut best_error = f32::INFINITY;
    for &span in tune.spans {
        let mut scale = extreme / (lowest as f32 * span);
        for _ in 0..tune.rounds {
            let stored;
            (stored, scale) = block.stored(scale);
            let mut sub_scales = [0i8; 16];
            let mut total = 0.0;
            let (mut num, mut den) = (0.0, 0.0);
            for (i, x) in subs.iter().enumerate() {
                let center = rounded(wanted[i] / scale, lowest, -1 - lowest);
                let (mut least, mut best) = (f32::INFINITY, 0);
                for sub in
                    (center - tune.window).max(lowest)..=(center + tune.window).min(-1 - lowest)
                {
                    let error = error(x, grid, scale * sub as f32, 0.0);
                    if error < least {
                        (least, best) = (error, sub);
                    }
                }
                sub_scales[i] = best as i8;
                total += least;
                let inverse = inverse(scale * best as f32);
                let [xq, qq] = sums(x, |x| {
                    let q = grid.nearest(x * inverse);
                    [x * q, q * q]
                });
                num += xq * best as f32;
                den += qq * (best * best) as f32;
            }
            if total < best_error {
                best_error = total;
                fit.scale = stored;
                fit.sub_scales = sub_scales;
            }
            scale = num / den;
        }
    }
    let scale = fit.scale.to_f32() / block.magnitude;
    for (i, x) in block.x.iter().enumerate() {
        let inverse = inverse(scale * f32::from(fit.sub_scales[i / SUB]));
        fit.codes[i] = grid.code(grid.nearest(x * inverse));
    }
    fit
}

/// Fits `weight = scale * sub_scale * code - minimum * sub_minimum`.
pub fn super_with_minimums<const SUB: usize>(
    weights: &[f32],
    highest: f32,
    highest_sub: i32,
    stretches: Stretches,
    tune: Tune,
) -> SuperFit {
    let grid = Integers(0.0, highest);
    let mut fit = SuperFit {
        scale: f16::ZERO,
        minimum: f16::ZERO,
        sub_scales: [0; 16],
        sub_minimums: [0; 16],
        codes: [0; SUPER_LEN],
    };
    let Some(block) = Normalized::<SUPER_LEN>::new(weights) else { return fit };
    let subs = block.x.as_chunks::<SUB>().0;
    let mut wanted = [(0.0f32, 0.0f32); 16];
    for (wanted, x) in wanted.iter_mut().zip(subs) {
        *wanted = best_scale_and_minimum::<false, _>(x, highest, stretches);
    }
    let greatest = wanted.iter().fold((0.0f32, 0.0f32), |a, b| (a.0.max(b.0), a.1.max(b.1)));
    let mut best_error = f32::INFINITY;
    for &span in tune.spans {
        for &mspan in tune.spans {
            let mut scale = greatest.0 / (highest_sub as f32 * span);
            let mut minimum = greatest.1 / (highest_sub as f32 * mspan);
            for _ in 0..tune.rounds {
                let (stored, stored_minimum);
                (stored, scale) = block.stored(scale);
                (stored_minimum, minimum) = block.stored(minimum);
                let mut sub_scales = [0i8; 16];
                let mut sub_minimums = [0u8; 16];
                let mut total = 0.0;
                // normal equations
                let (mut aa, mut ab, mut bb, mut xa, mut xb) = (0.0, 0.0, 0.0, 0.0, 0.0);
                for (i, x) in subs.iter().enumerate() {
                    let w = tune.window;
                    let c = rounded(wanted[i].0 * inverse(scale), 0, highest_sub);
                    let cm = rounded(wanted[i].1 * inverse(minimum), 0, highest_sub);
                    let (mut least, mut best) = (f32::INFINITY, (0, 0));
                    for sub in (c - w).max(0)..=(c + w).min(highest_sub) {
                        for sub_m in (cm - w).max(0)..=(cm + w).min(highest_sub) {
                            let error = error(x, grid, scale * sub as f32, minimum * sub_m as f32);
                            if error < least {
                                (least, best) = (error, (sub, sub_m));
                            }
                        }
                    }
                    sub_scales[i] = best.0 as i8;
                    sub_minimums[i] = best.1 as u8;
                    total += least;
                    let inverse = inverse(scale * best.0 as f32);
                    let m = minimum * best.1 as f32;
                    let [sx, sq, xq, qq] = sums(x, |x| {
                        let q = grid.nearest((x + m) * inverse);
                        [x, q, x * q, q * q]
                    });
                    let (s, t) = (best.0 as f32, best.1 as f32);
                    aa += s * s * qq;
                    ab += s * t * sq;
                    bb += t * t * SUB as f32;
                    xa += s * xq;
                    xb += t * sx;
                }
                if total < best_error {
                    best_error = total;
                    fit.scale = stored;
                    fit.minimum = stored_minimum;
                    fit.sub_scales = sub_scales;
                    fit.sub_minimums = sub_minimums;
                }
                // x = scale a - minimum b
                let det = aa * bb - ab * ab;
                if det > 0.0 {
                    scale = (xa * bb - xb * ab) / det;
                    minimum = (xa * ab - xb * aa) / det;
                }
            }
        }
    }
    let scale = fit.scale.to_f32() / block.magnitude;
    let minimum = fit.minimum.to_f32() / block.magnitude;
    for (i, x) in block.x.iter().enumerate() {
        let inverse = inverse(scale * f32::from(fit.sub_scales[i / SUB]));
        let m = minimum * f32::from(fit.sub_minimums[i / SUB]);
        fit.codes[i] = grid.code(grid.nearest((x + m) * inverse));
    }
    fit
}
