//! Attention to one tile of keys and values, over the lanes of [`crate::vector`].
//!
//! For each query: scores against the tile's keys, their exponentials relative to the tile's own
//! maximum, and the values' sum weighted by these, in the order of positions. The result joins what
//! the query has seen before, both rescaled to the larger maximum (arXiv 1805.02867, 2205.14135).
//!
//! Keys and values are read where they lie. Queries go in blocks, which share the tile: a panel of
//! some keys, or of some columns of the values, stays in the first-level cache while all groups of
//! the block, as many queries as registers have sums for, pass over it.

use crate::format::FloatKind;
use crate::isa::Isa;
use crate::vector::{Lanes, N_LANES, dot_floats, exp, load_zero_filled, update, zero_filled};
use std::ops::Range;

/// Most positions of a tile.
pub const TILE_LEN: usize = 64;

/// Queries that share the panels of a tile at most.
const BLOCK: usize = 64;

/// Keys of a panel.
const PANEL_KEYS: usize = 4;

/// Columns of a panel of values.
const PANEL_COLUMNS: usize = 4 * N_LANES;

/// Keys and values of up to [`TILE_LEN`] positions.
#[derive(Clone, Copy)]
pub struct Tile<'a> {
    /// How the numbers are stored.
    pub kind: FloatKind,
    /// `[n_positions, head_dim]`, as little-endian bytes.
    pub keys: &'a [u8],
    /// Likewise.
    pub values: &'a [u8],
    /// What is read after this tile, as far as a head start is worth having.
    pub next: &'a [u8],
}

impl<'a> Tile<'a> {
    /// The first `n_positions` of it.
    pub fn first(self, n_positions: usize, head_dim: usize) -> Tile<'a> {
        let n_bytes = n_positions * head_dim * self.kind.bytes();
        Tile { keys: &self.keys[..n_bytes], values: &self.values[..n_bytes], ..self }
    }
}

/// The scores that a query has met: their maximum, and the sum of their exponentials relative to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningSoftmax {
    /// The maximum.
    pub max: f32,
    /// The sum.
    pub sum: f32,
}

impl Default for RunningSoftmax {
    fn default() -> Self {
        RunningSoftmax { max: f32::NEG_INFINITY, sum: 0.0 }
    }
}

impl RunningSoftmax {
    /// The larger of both maximums; the own one where they do not compare.
    fn larger_max(self, other: RunningSoftmax) -> f32 {
        if other.max > self.max { other.max } else { self.max }
    }
}

/// The scores of some queries, which become their weights.
pub(crate) type Scores = [[f32; TILE_LEN]];

/// What was before a tile is multiplied with the first, what comes of it with the second.
pub(crate) type Factors = [f32; 2];

/// See [`Isa::attend`]. Its steps are functions by themselves, so that the many constants of one
/// take no registers from the sums of another.
pub(crate) fn attend(
    isa: Isa,
    queries: &[f32],
    scale: f32,
    mut tile: Tile<'_>,
    states: &mut [RunningSoftmax],
    out: &mut [f32],
) {
    let head_dim = queries.len() / states.len();
    let n_positions = tile.keys.len() / (head_dim * tile.kind.bytes());
    let outs = out.chunks_mut(BLOCK * head_dim).zip(states.chunks_mut(BLOCK));
    for (queries, (out, states)) in queries.chunks(BLOCK * head_dim).zip(outs) {
        let mut scores = [[f32::NEG_INFINITY; TILE_LEN]; BLOCK];
        let mut factors = [[0.0; 2]; BLOCK];
        let (scores, factors) = (&mut scores[..states.len()], &mut factors[..states.len()]);
        isa.score(queries, scale, tile, scores);
        isa.weigh(n_positions, scores, states, factors);
        isa.add_values(tile, scores, factors, out);
        // The first block has asked for it.
        tile.next = &[];
    }
}

/// Runs a body for each group of a block: `first` is its first query, `LEN`, a constant, their
/// number. A macro, since a closure would not inherit the target features that its intrinsics need
/// in order to be inlined.
macro_rules! each_group {
    ($lanes:ident, $n_queries:expr, |$first:ident, $LEN:ident| $body:block) => {
        let mut $first = 0;
        while $first < $n_queries {
            match ($lanes::IS_ROOMY, $n_queries - $first) {
                (true, 4..) => each_group!(@one $first, $LEN = 4, $body),
                (_, 2..) => each_group!(@one $first, $LEN = 2, $body),
                _ => each_group!(@one $first, $LEN = 1, $body),
            }
        }
    };
    (@one $first:ident, $LEN:ident = $len:literal, $body:block) => {{
        const $LEN: usize = $len;
        $body
        $first += $LEN;
    }};
}

/// Runs a body with a kind of floats as a constant, so that its loops are compiled for each.
macro_rules! with_kind {
    ($found:expr, |$kind:ident| $body:expr) => {
        match $found {
            FloatKind::F32 => {
                let $kind = FloatKind::F32;
                $body
            }
            FloatKind::F16 => {
                let $kind = FloatKind::F16;
                $body
            }
            FloatKind::Bf16 => {
                let $kind = FloatKind::Bf16;
                $body
            }
        }
    };
}

/// The scores of queries against the tile's keys, `scale * dot(query, key)`.
#[inline(always)]
pub(crate) fn score<L: Lanes>(queries: &[f32], scale: f32, tile: Tile<'_>, scores: &mut Scores) {
    with_kind!(tile.kind, |kind| score_kind::<L>(kind, queries, scale, tile, scores));
}

#[inline(always)]
fn score_kind<L: Lanes>(
    kind: FloatKind,
    queries: &[f32],
    scale: f32,
    tile: Tile<'_>,
    scores: &mut Scores,
) {
    let (n_queries, head_dim) = (scores.len(), queries.len() / scores.len());
    let row_bytes = head_dim * kind.bytes();
    for (keys, start) in tile.keys.chunks(PANEL_KEYS * row_bytes).zip((0..).step_by(PANEL_KEYS)) {
        prefetch::<L>(tile.values, start * row_bytes, keys.len());
        each_group!(L, n_queries, |first, LEN| {
            let queries = &queries[first * head_dim..][..LEN * head_dim];
            let scores = &mut scores[first..][..LEN];
            if L::IS_ROOMY || LEN < 2 {
                score_panel::<L, LEN, 4>(kind, queries, scale, (start, keys), scores);
            } else {
                score_panel::<L, LEN, 2>(kind, queries, scale, (start, keys), scores);
            }
        });
    }
}

/// The scores of `N` queries against the keys of a panel that begins at `position`, `K` at a time.
#[inline(always)]
fn score_panel<L: Lanes, const N: usize, const K: usize>(
    kind: FloatKind,
    queries: &[f32],
    scale: f32,
    (mut position, keys): (usize, &[u8]),
    scores: &mut Scores,
) {
    let head_dim = queries.len() / N;
    let row_bytes = head_dim * kind.bytes();
    let mut rows = [queries; N];
    for n in 0..N {
        rows[n] = &queries[n * head_dim..][..head_dim];
    }
    let mut groups = keys.chunks_exact(K * row_bytes);
    for keys in &mut groups {
        let mut group = [keys; K];
        for k in 0..K {
            group[k] = &keys[k * row_bytes..][..row_bytes];
        }
        let dots = dot_floats::<L, K, N>(kind, group, rows);
        for n in 0..N {
            let scores = &mut scores[n][position..][..K];
            scores.copy_from_slice(&dots[n].map(|dot| dot * scale));
        }
        position += K;
    }
    for key in groups.remainder().chunks_exact(row_bytes) {
        let dots = dot_floats::<L, 1, N>(kind, [key], rows);
        for n in 0..N {
            scores[n][position] = dots[n][0] * scale;
        }
        position += 1;
    }
}

/// Makes weights of scores, those beyond the last position being minus infinity, and takes them
/// into the states and each query's factors.
#[inline(always)]
pub(crate) fn weigh<L: Lanes>(
    n_positions: usize,
    scores: &mut Scores,
    states: &mut [RunningSoftmax],
    factors: &mut [Factors],
) {
    let n_lane_groups = n_positions.div_ceil(N_LANES);
    each_group!(L, scores.len(), |first, LEN| {
        let (scores, states) = (&mut scores[first..][..LEN], &mut states[first..][..LEN]);
        let group_factors = weigh_group::<L, LEN>(n_lane_groups, scores, states);
        factors[first..][..LEN].copy_from_slice(&group_factors);
    });
}

#[inline(always)]
fn weigh_group<L: Lanes, const N: usize>(
    n_lane_groups: usize,
    scores: &mut Scores,
    states: &mut [RunningSoftmax],
) -> [Factors; N] {
    let mut tiles = [RunningSoftmax::default(); N];
    for (scores, tile) in scores.iter_mut().zip(&mut tiles) {
        let groups = &mut scores.as_chunks_mut::<N_LANES>().0[..n_lane_groups];
        let mut max = L::splat(f32::NEG_INFINITY);
        for group in groups.iter() {
            max = L::from_array(*group).max(max);
        }
        let lanes = max.to_array();
        tile.max =
            lanes.into_iter().fold(f32::NEG_INFINITY, |max, s| if s > max { s } else { max });
        let (max, mut sum) = (L::splat(tile.max), L::splat(0.0));
        for group in groups {
            let exps = exp(L::from_array(*group).sub(max));
            sum = sum.add(exps);
            *group = exps.to_array();
        }
        tile.sum = sum.sum();
    }
    join::<L, N>(states, &tiles)
}

/// Takes what others have met into the states, and returns the factors of both sides' sums.
#[inline(always)]
fn join<L: Lanes, const N: usize>(
    states: &mut [RunningSoftmax],
    others: &[RunningSoftmax; N],
) -> [Factors; N] {
    let mut exponents = [0.0; N_LANES];
    let pairs = exponents.as_chunks_mut::<2>().0;
    for ((state, other), pair) in states.iter().zip(others).zip(pairs) {
        let max = state.larger_max(*other);
        *pair = [state.max - max, other.max - max];
    }
    let factors = exp(L::from_array(exponents)).to_array();
    let factors: [[f32; 2]; N] = std::array::from_fn(|n| factors.as_chunks::<2>().0[n]);
    for ((state, other), [before, now]) in states.iter_mut().zip(others).zip(factors) {
        let max = state.larger_max(*other);
        *state = RunningSoftmax { max, sum: state.sum * before + other.sum * now };
    }
    factors
}

/// `out = out * before + now * sum over i of weights[i] * values[i]` for all queries.
#[inline(always)]
pub(crate) fn add_values<L: Lanes>(
    tile: Tile<'_>,
    weights: &Scores,
    factors: &[Factors],
    out: &mut [f32],
) {
    with_kind!(tile.kind, |kind| add_values_kind::<L>(kind, tile, weights, factors, out));
}

#[inline(always)]
fn add_values_kind<L: Lanes>(
    kind: FloatKind,
    tile: Tile<'_>,
    weights: &Scores,
    factors: &[Factors],
    out: &mut [f32],
) {
    let (n_queries, head_dim) = (weights.len(), out.len() / weights.len());
    for start in (0..head_dim).step_by(PANEL_COLUMNS) {
        let columns = start..(start + PANEL_COLUMNS).min(head_dim);
        let mut tile = tile;
        each_group!(L, n_queries, |first, LEN| {
            let weights = (&weights[first..][..LEN], &factors[first..][..LEN]);
            let out = &mut out[first * head_dim..][..LEN * head_dim];
            if L::IS_ROOMY || LEN < 2 {
                add_panel::<L, LEN, 4>(kind, tile, columns.clone(), weights, out);
            } else {
                add_panel::<L, LEN, 2>(kind, tile, columns.clone(), weights, out);
            }
            // The first group has asked for it.
            tile.next = &[];
        });
    }
}

/// [`add_values`] for `N` queries and the columns of a panel, `C * 16` at a time.
#[inline(always)]
fn add_panel<L: Lanes, const N: usize, const C: usize>(
    kind: FloatKind,
    tile: Tile<'_>,
    columns: Range<usize>,
    weights: (&Scores, &[Factors]),
    out: &mut [f32],
) {
    let mut column = columns.start;
    while column + C * N_LANES <= columns.end {
        add_columns::<L, N, C>(kind, tile, column, weights, out);
        column += C * N_LANES;
    }
    while column + N_LANES <= columns.end {
        add_columns::<L, N, 1>(kind, tile, column, weights, out);
        column += N_LANES;
    }
    if column < columns.end {
        add_last_columns::<L, N>(kind, tile, column, weights, out);
    }
}

/// The columns of [`add_panel`] that begin at `column`.
#[inline(always)]
fn add_columns<L: Lanes, const N: usize, const C: usize>(
    kind: FloatKind,
    tile: Tile<'_>,
    column: usize,
    (weights, factors): (&Scores, &[Factors]),
    out: &mut [f32],
) {
    let head_dim = out.len() / N;
    let (row_bytes, group_bytes) = (head_dim * kind.bytes(), N_LANES * kind.bytes());
    let mut sums = [[L::splat(0.0); C]; N];
    for position in 0..tile.values.len() / row_bytes {
        let at = position * row_bytes + column * kind.bytes();
        prefetch::<L>(tile.next, at, C * group_bytes);
        let row = &tile.values[at..][..C * group_bytes];
        for c in 0..C {
            let values = L::load(kind, &row[c * group_bytes..][..group_bytes]);
            for n in 0..N {
                sums[n][c] = values.mul_add(L::splat(weights[n][position]), sums[n][c]);
            }
        }
    }
    for n in 0..N {
        let (before, now) = (L::splat(factors[n][0]), L::splat(factors[n][1]));
        let out = &mut out[n * head_dim + column..][..C * N_LANES];
        for (out, sum) in out.as_chunks_mut::<N_LANES>().0.iter_mut().zip(sums[n]) {
            *out = L::from_array(*out).mul(before).add(sum.mul(now)).to_array();
        }
    }
}

/// The columns of [`add_panel`] from `column` on, fewer than there are lanes.
#[inline(always)]
fn add_last_columns<L: Lanes, const N: usize>(
    kind: FloatKind,
    tile: Tile<'_>,
    column: usize,
    (weights, factors): (&Scores, &[Factors]),
    out: &mut [f32],
) {
    let head_dim = out.len() / N;
    let mut sums = [L::splat(0.0); N];
    for (position, row) in tile.values.chunks_exact(head_dim * kind.bytes()).enumerate() {
        let values = load_zero_filled::<L>(kind, &row[column * kind.bytes()..]);
        for n in 0..N {
            sums[n] = values.mul_add(L::splat(weights[n][position]), sums[n]);
        }
    }
    for n in 0..N {
        let (before, now) = (L::splat(factors[n][0]), L::splat(factors[n][1]));
        let out = &mut out[n * head_dim + column..(n + 1) * head_dim];
        let merged = zero_filled::<L>(out).mul(before).add(sums[n].mul(now)).to_array();
        out.copy_from_slice(&merged[..out.len()]);
    }
}

/// Asks for some bytes of what is needed soon, as far as they are there.
#[inline(always)]
fn prefetch<L: Lanes>(bytes: &[u8], start: usize, n_bytes: usize) {
    const LINE: usize = 64;
    for line in (start..(start + n_bytes).min(bytes.len())).step_by(LINE) {
        L::prefetch(&bytes[line]);
    }
}

/// See [`Isa::merge_attention`].
#[inline(always)]
pub(crate) fn merge<L: Lanes>(
    states: &mut [RunningSoftmax],
    out: &mut [f32],
    later: &[RunningSoftmax],
    later_out: &[f32],
) {
    let head_dim = out.len() / states.len();
    let outs = out.chunks_exact_mut(head_dim).zip(later_out.chunks_exact(head_dim));
    for ((state, later), (out, later_out)) in states.iter_mut().zip(later).zip(outs) {
        let [[before, now]] = join::<L, 1>(std::slice::from_mut(state), &[*later]);
        let (before, now) = (L::splat(before), L::splat(now));
        update!(L, out, later_out, |out, later| out.mul(before).add(later.mul(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::{RunningSoftmax, TILE_LEN, Tile};
    use crate::format::FloatKind;
    use crate::isa::Isa;

    /// Attention over two tiles against the formula in f64.
    #[test]
    fn tiles_join_to_attention_over_all_positions() {
        let isa = Isa::SCALAR;
        let value = |i: usize| ((i * i) as f32 * 0.37).sin();
        for (head_dim, n_queries) in [(1, 1), (20, 3), (64, 7), (128, 4), (200, 2)] {
            let n_positions = TILE_LEN + 5;
            let keys: Vec<f32> = (0..n_positions * head_dim).map(value).collect();
            let values: Vec<f32> = keys.iter().map(|key| key * 3.0 - 1.0).collect();
            let queries: Vec<f32> = (0..n_queries * head_dim).map(|i| value(i + 7)).collect();
            let attend =
                |states: &mut [RunningSoftmax], out: &mut [f32], from: usize, to: usize| {
                    let range = from * head_dim..to * head_dim;
                    let tile = Tile {
                        kind: FloatKind::F32,
                        keys: bytemuck::cast_slice(&keys[range.clone()]),
                        values: bytemuck::cast_slice(&values[range]),
                        next: &[],
                    };
                    isa.attend(&queries, 0.7, tile, states, out);
                };
            let start = || (vec![RunningSoftmax::default(); n_queries], vec![0.0; queries.len()]);
            let (mut states, mut out) = start();
            attend(&mut states, &mut out, 0, TILE_LEN);
            attend(&mut states, &mut out, TILE_LEN, n_positions);
            let (mut merged_states, mut merged_out) = start();
            attend(&mut merged_states, &mut merged_out, 0, TILE_LEN);
            let (mut later_states, mut later_out) = start();
            attend(&mut later_states, &mut later_out, TILE_LEN, n_positions);
            isa.merge_attention(&mut merged_states, &mut merged_out, &later_states, &later_out);
            assert_eq!((&states, &out), (&merged_states, &merged_out));

            for (n, query) in queries.chunks_exact(head_dim).enumerate() {
                let weights = keys.chunks_exact(head_dim).map(|key| {
                    let products =
                        query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k));
                    (products.sum::<f64>() * f64::from(0.7f32)).exp()
                });
                let weights: Vec<f64> = weights.collect();
                for column in 0..head_dim {
                    let column_values = values.iter().skip(column).step_by(head_dim);
                    let weighted =
                        weights.iter().zip(column_values).map(|(w, v)| w * f64::from(*v));
                    let expected = weighted.sum::<f64>() / weights.iter().sum::<f64>();
                    let found = f64::from(out[n * head_dim + column] / states[n].sum);
                    assert!((expected - found).abs() < 1e-4, "{expected} or {found}, {head_dim}");
                }
            }
        }
    }

    #[test]
    fn a_score_that_is_no_number_shows() {
        let keys = [1.0f32, f32::NAN, 2.0];
        let tile = Tile {
            kind: FloatKind::F32,
            keys: bytemuck::cast_slice(&keys),
            values: bytemuck::cast_slice(&[1.0f32; 3]),
            next: &[],
        };
        for (n_positions, shows) in [(1, false), (2, true), (3, true)] {
            let (mut states, mut out) = ([RunningSoftmax::default()], [0.0]);
            let tile = tile.first(n_positions, 1);
            Isa::SCALAR.attend(&[1.0], 1.0, tile, &mut states, &mut out);
            assert_eq!(out[0].is_nan(), shows);
            assert_eq!(states[0].sum.is_nan(), shows);
        }
    }
}
