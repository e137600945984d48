//! Blocks of 256: a scale of integer sub-scales, and perhaps a minimum of integer sub-minimums.

use super::grid::Grid;
use super::{
    Minimums, N_LANES, Normalized, Stretches, best_scale, best_scale_and_minimum, errors, inverse,
    largest,
};
use crate::format::{SUPER_LEN, Super};
use half::f16;

/// The sub-scales that a format has, and how hard to look for the best.
#[derive(Clone, Copy)]
pub struct SubScales {
    /// The least sub-scale.
    pub lowest: i32,
    /// The greatest sub-scale.
    pub highest: i32,
    /// The greatest sub-minimum; 0 for formats without.
    pub highest_minimum: i32,
    /// How many sub-minimums around the fitted one to try: 1, or an even number.
    pub n_minimums: i32,
}

/// What a super-block stores.
pub struct SuperFit {
    /// Scale of the sub-scales.
    pub scale: f16,
    /// Scale of the sub-minimums; 0 for formats without.
    pub minimum: f16,
    /// A scale per sub-block; formats with eight use the first eight.
    pub sub_scales: [i8; 16],
    /// A minimum per sub-block, likewise.
    pub sub_minimums: [u8; 16],
    /// The bits of the codes.
    pub codes: [u8; SUPER_LEN],
}

/// The scales of a super-block: those of the block, and a pair of integers per sub-block.
#[derive(Clone, Copy, Default)]
struct Scales {
    scale: f32,
    minimum: f32,
    subs: [(i32, i32); 16],
}

impl Scales {
    fn of_sub(&self, sub_idx: usize) -> (f32, f32) {
        let (scale, minimum) = self.subs[sub_idx];
        (self.scale * scale as f32, self.minimum * minimum as f32)
    }
}

/// Fits a block of 256 weights.
pub fn super_block<F: Super>(weights: &[f32], subs: SubScales, stretches: Stretches) -> SuperFit {
    let block = Normalized::<SUPER_LEN>::new(weights);
    let best = best_scales::<F>(&block, subs, stretches);
    let mut codes = [0; SUPER_LEN];
    let sub_blocks = block.x.chunks_exact(F::SUB_LEN).zip(codes.chunks_exact_mut(F::SUB_LEN));
    for (i, (x, codes)) in sub_blocks.enumerate() {
        let (scale, minimum) = best.of_sub(i);
        Grid::encode(&F::LAYOUT, x, scale, minimum, codes);
    }
    SuperFit {
        scale: block.stored(best.scale).0,
        minimum: block.stored(best.minimum).0,
        sub_scales: best.subs.map(|(sub_scale, _)| sub_scale as i8),
        sub_minimums: best.subs.map(|(_, sub_minimum)| sub_minimum as u8),
        codes,
    }
}

/// How often the sub-scales are chosen; in between, the block's scales are refined. More rounds
/// lower the error by less than a thousandth.
const N_ROUNDS: usize = 2;

fn best_scales<F: Super>(
    block: &Normalized<SUPER_LEN>,
    subs: SubScales,
    stretches: Stretches,
) -> Scales {
    let grid = const { Grid::of(&F::LAYOUT) };
    let mut wanted = [(0.0, 0.0); 16];
    for (wanted, x) in wanted.iter_mut().zip(block.x.chunks_exact(F::SUB_LEN)) {
        *wanted = if F::HAS_MINIMUM {
            best_scale_and_minimum(x, grid, Minimums::NotNegative, stretches)
        } else {
            (best_scale(x, grid, stretches), 0.0)
        };
    }
    // The extreme ones get the extreme integers.
    let farthest = if -subs.lowest > subs.highest { subs.lowest } else { subs.highest };
    let mut scale = largest(&wanted.map(|(scale, _)| scale)) / farthest as f32;
    let most = subs.highest_minimum.max(1);
    let mut minimum = largest(&wanted.map(|(_, minimum)| minimum)) / most as f32;
    let (mut best, mut best_error) = (Scales::default(), f32::INFINITY);
    for _ in 0..N_ROUNDS {
        (_, scale) = block.stored(scale);
        (_, minimum) = block.stored(minimum);
        let mut chosen = Scales { scale, minimum, subs: [(0, 0); 16] };
        let mut total = 0.0;
        for (i, x) in block.x.chunks_exact(F::SUB_LEN).enumerate() {
            let error;
            (chosen.subs[i], error) = choose_sub(x, grid, subs, wanted[i], (scale, minimum));
            total += error;
        }
        if total < best_error {
            (best, best_error) = (chosen, total);
        }
        (scale, minimum) = refine::<F>(block, &chosen);
    }
    best
}

/// The sub-scale and sub-minimum with the least error, and that error: out of those around the ones
/// that come closest to the wanted scale and minimum.
#[inline(always)]
fn choose_sub(
    x: &[f32],
    grid: Grid,
    subs: SubScales,
    wanted: (f32, f32),
    (scale, minimum): (f32, f32),
) -> ((i32, i32), f32) {
    // A row of sub-scales per sub-minimum.
    let row_len = if subs.n_minimums > 1 { 8 } else { 16 };
    let center = (wanted.0 * inverse(scale)).round_ties_even() as i32;
    let first_scale = center.clamp(subs.lowest, subs.highest) - row_len / 2;
    let center = (wanted.1 * inverse(minimum)).round_ties_even() as i32;
    let first_minimum = center.clamp(0, subs.highest_minimum) - subs.n_minimums / 2;
    let (mut best, mut least) = ((0, 0), f32::INFINITY);
    for first in (0..row_len * subs.n_minimums).step_by(N_LANES) {
        let pairs: [(i32, i32); N_LANES] = std::array::from_fn(|lane| {
            let candidate = first + lane as i32;
            let sub_scale = first_scale + candidate % row_len;
            let sub_minimum = first_minimum + candidate / row_len;
            (sub_scale.clamp(subs.lowest, subs.highest), sub_minimum.clamp(0, subs.highest_minimum))
        });
        let scales = pairs.map(|(sub_scale, _)| scale * sub_scale as f32);
        let minimums = pairs.map(|(_, sub_minimum)| minimum * sub_minimum as f32);
        for (error, pair) in errors(x, grid, &scales, &minimums).into_iter().zip(pairs) {
            if error < least {
                (best, least) = (pair, error);
            }
        }
    }
    (best, least)
}

/// The least-squares scale and minimum for the sub-scales and the codes that they assign.
fn refine<F: Super>(block: &Normalized<SUPER_LEN>, scales: &Scales) -> (f32, f32) {
    let grid = const { Grid::of(&F::LAYOUT) };
    // x = scale * a - minimum * b with a = sub_scale * number, b = sub_minimum.
    let (mut aa, mut ab, mut bb, mut xa, mut xb) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (i, x) in block.x.chunks_exact(F::SUB_LEN).enumerate() {
        let (scale, minimum) = scales.of_sub(i);
        let inverse = inverse(scale);
        let (mut sx, mut sq, mut xq, mut qq) = (0.0, 0.0, 0.0, 0.0);
        for &x in x {
            let q = grid.nearest((x + minimum) * inverse);
            sx += x;
            sq += q;
            xq += x * q;
            qq += q * q;
        }
        let (a, b) = (scales.subs[i].0 as f32, scales.subs[i].1 as f32);
        aa += a * a * qq;
        ab += a * b * sq;
        bb += b * b * F::SUB_LEN as f32;
        xa += a * xq;
        xb += b * sx;
    }
    let determinant = aa * bb - ab * ab;
    if determinant > 0.0 {
        ((xa * bb - xb * ab) / determinant, (xa * ab - xb * aa) / determinant)
    } else {
        (xa / aa, 0.0)
    }
}
