//! Fitting the scales of a block to its weights, so that rounding loses as little as possible.
//!
//! What is minimized is the plain sum of squared errors. It has a local minimum wherever a weight
//! changes its code, so there is no formula for the best scale: every search here tries a number of
//! scales around the one that just covers the weights, assigns each weight its nearest code, and
//! keeps the best; given the codes, the best scale is the least-squares one. Super-blocks add a
//! second stage: their sub-scales are integers, so all those near the fitted one can be tried.
//!
//! Sixteen candidates are tried at once, each in a lane of its own. Like the lanes of the kernels,
//! these are never slices of one sum: every CPU makes the same blocks, and the compiler vectorizes
//! them without being told.
//!
//! Blocks are first divided by their largest magnitude: squares then neither overflow nor vanish,
//! whatever the weights.

mod flat;
mod grid;
mod super_block;

pub use flat::flat;
pub use super_block::{SubScales, super_block};

use crate::format::Format;
use grid::Grid;
use half::f16;

/// Makes blocks of the weights.
///
/// Each instruction set compiles this and all below it for itself: hence `inline(always)`.
#[inline(always)]
pub fn quantize<F: Format>(weights: &[f32], blocks: &mut [F::Block]) {
    for (block, weights) in blocks.iter_mut().zip(weights.chunks_exact(F::BLOCK_LEN)) {
        *block = F::quantize(weights);
    }
}

/// Candidates tried at once.
const N_LANES: usize = 16;

/// A number per candidate.
type Lanes = [f32; N_LANES];

/// The scales to try, as multiples of the grid's width over the weights' width: below one, the
/// outermost numbers of the grid stay unused; above, the outermost weights are clipped.
#[derive(Clone, Copy)]
pub struct Stretches {
    /// The least.
    pub from: f32,
    /// The greatest.
    pub to: f32,
    /// How many, evenly spaced; a multiple of sixteen.
    pub n: usize,
}

impl Stretches {
    fn lanes(self) -> impl Iterator<Item = Lanes> {
        let step = (self.to - self.from) / (self.n - 1) as f32;
        let stretch = move |i: usize| self.from + i as f32 * step;
        (0..self.n).step_by(N_LANES).map(move |i| std::array::from_fn(|lane| stretch(i + lane)))
    }
}

/// A block of weights divided by its largest magnitude.
struct Normalized<const N: usize> {
    x: [f32; N],
    magnitude: f32,
}

impl<const N: usize> Normalized<N> {
    /// Weights that are all nearer to zero than to the least positive f16, the least that any
    /// format can express, count as zero.
    fn new(weights: &[f32]) -> Self {
        let weights: &[f32; N] = weights.try_into().expect("a block of weights");
        let magnitude = largest(weights).abs();
        if magnitude < LEAST_F16 / 2.0 {
            return Normalized { x: [0.0; N], magnitude: 1.0 };
        }
        let factor = 1.0 / magnitude;
        Normalized { x: weights.map(|weight| weight * factor), magnitude }
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
/// from zero: a scale that is too small clips the largest weights, which costs more than one that
/// is too large.
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

/// 1 / scale, and 0 for 0: then every code is the one nearest to zero.
#[inline(always)]
fn inverse(scale: f32) -> f32 {
    if scale == 0.0 { 0.0 } else { 1.0 / scale }
}

/// The value with the largest magnitude.
#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    x.iter().fold(0.0, |a: f32, &b| if b.abs() > a.abs() { b } else { a })
}

/// Per candidate, sums over the values of `x` of the terms that it makes of each.
#[inline(always)]
fn sums<const K: usize>(x: &[f32], terms: impl Fn(f32, usize) -> [f32; K]) -> [Lanes; K] {
    let mut sums = [[0.0; N_LANES]; K];
    for &x in x {
        for lane in 0..N_LANES {
            let terms = terms(x, lane);
            for k in 0..K {
                sums[k][lane] += terms[k];
            }
        }
    }
    sums
}

/// The sums of squared errors of `x = scale * number - minimum`.
#[inline(always)]
fn errors(x: &[f32], grid: Grid, scales: &Lanes, minimums: &Lanes) -> Lanes {
    let inverses = scales.map(inverse);
    let [errors] = sums(
        x,
        #[inline(always)]
        |x, lane| {
            let x = x + minimums[lane];
            let difference = x - scales[lane] * grid.nearest(x * inverses[lane]);
            [difference * difference]
        },
    );
    errors
}

/// The scale with the least error for `x = scale * number`.
#[inline(always)]
fn best_scale(x: &[f32], grid: Grid, stretches: Stretches) -> f32 {
    let largest = largest(x);
    let (mut best_scale, mut best_gain) = (0.0, 0.0);
    for end in grid.ends() {
        for stretches in stretches.lanes() {
            let inverses = stretches.map(|stretch| end * stretch / largest);
            let [xq, qq] = sums(
                x,
                #[inline(always)]
                |x, lane| {
                    let q = grid.nearest(x * inverses[lane]);
                    [x * q, q * q]
                },
            );
            for (xq, qq) in xq.into_iter().zip(qq) {
                // The error of the least-squares scale xq / qq is sum(x * x) - gain.
                let gain = xq * xq / qq;
                if gain > best_gain {
                    (best_scale, best_gain) = (xq / qq, gain);
                }
            }
        }
    }
    best_scale
}

/// Which minimums a format can store, for `weight = scale * number - minimum`.
#[derive(Clone, Copy, PartialEq)]
enum Minimums {
    Any,
    NotNegative,
}

/// The scale and minimum with the least error for `x = scale * number - minimum`; the numbers of
/// the grid begin with zero.
#[inline(always)]
fn best_scale_and_minimum(
    x: &[f32],
    grid: Grid,
    minimums: Minimums,
    stretches: Stretches,
) -> (f32, f32) {
    let [_, highest] = grid.ends();
    let limit = if minimums == Minimums::Any { f32::INFINITY } else { 0.0 };
    let least = x.iter().fold(limit, |a: f32, &b| a.min(b));
    let range = x.iter().fold(least, |a: f32, &b| a.max(b)) - least;
    let (mut best, mut best_error) = ((0.0, -least), f32::INFINITY);
    for stretches in stretches.lanes() {
        let mut scales = stretches.map(|stretch| range / (highest * stretch));
        // The grid is stretched around its middle.
        let mut offsets = stretches.map(|stretch| range * (1.0 - 1.0 / stretch) / 2.0 - least);
        for _ in 0..2 {
            (scales, offsets) = least_squares(x, grid, minimums, &scales, &offsets);
        }
        let errors = errors(x, grid, &scales, &offsets);
        for lane in 0..N_LANES {
            if errors[lane] < best_error {
                (best, best_error) = ((scales[lane], offsets[lane]), errors[lane]);
            }
        }
    }
    best
}

/// The best scales and minimums for the codes that the given ones assign.
#[inline(always)]
fn least_squares(
    x: &[f32],
    grid: Grid,
    allowed: Minimums,
    scales: &Lanes,
    minimums: &Lanes,
) -> (Lanes, Lanes) {
    let inverses = scales.map(inverse);
    let [sq, xq, qq] = sums(
        x,
        #[inline(always)]
        |x, lane| {
            let q = grid.nearest((x + minimums[lane]) * inverses[lane]);
            [q, x * q, q * q]
        },
    );
    let (n, sx): (f32, f32) = (x.len() as f32, x.iter().sum());
    let (mut scales, mut minimums) = ([0.0; N_LANES], [0.0; N_LANES]);
    for lane in 0..N_LANES {
        let (sq, xq, qq) = (sq[lane], xq[lane], qq[lane]);
        scales[lane] = (n * xq - sx * sq) / (n * qq - sq * sq);
        minimums[lane] = (scales[lane] * sq - sx) / n;
        // Where all codes are equal, the minimum is not a number.
        let is_allowed = allowed == Minimums::Any || minimums[lane] >= 0.0;
        if !is_allowed {
            (scales[lane], minimums[lane]) = (xq / qq, 0.0);
        }
    }
    (scales, minimums)
}
