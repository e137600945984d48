//! Attention to one tile of keys and values, over the lanes of [`crate::vector`].
//!
//! For each query: scores against the tile's keys, their exponentials relative to the tile's own
//! maximum, and the values' sum weighted by these, in the order of positions. The result joins what
//! the query has seen before, both rescaled to the larger maximum (arXiv 1805.02867, 2205.14135).
//!
//! Keys and values are read where they lie. Queries go in groups, as many as registers have sums
//! for: a value is widened once for the group.

use crate::format::FloatKind;
use crate::vector::{Lanes, N_LANES, dot_floats, exp, load_zero_filled, update, zero_filled};

/// Most positions of a tile.
pub const TILE_LEN: usize = 64;

/// Queries that go together at most.
const GROUP: usize = 4;

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

/// See [`crate::Isa::attend`].
#[inline(always)]
pub(crate) fn attend<L: Lanes>(
    queries: &[f32],
    scale: f32,
    tile: Tile<'_>,
    states: &mut [RunningSoftmax],
    out: &mut [f32],
) {
    // Constants, so that the innermost loops are compiled for each.
    match tile.kind {
        FloatKind::F32 => attend_kind::<L>(FloatKind::F32, queries, scale, tile, states, out),
        FloatKind::F16 => attend_kind::<L>(FloatKind::F16, queries, scale, tile, states, out),
        FloatKind::Bf16 => attend_kind::<L>(FloatKind::Bf16, queries, scale, tile, states, out),
    }
}

#[inline(always)]
fn attend_kind<L: Lanes>(
    kind: FloatKind,
    queries: &[f32],
    scale: f32,
    mut tile: Tile<'_>,
    states: &mut [RunningSoftmax],
    out: &mut [f32],
) {
    let head_dim = queries.len() / states.len();
    let (mut queries, mut states, mut out) = (queries, states, out);
    while !states.is_empty() {
        let n = match states.len() {
            GROUP.. => GROUP,
            2 | 3 => 2,
            _ => 1,
        };
        let (group, group_states, group_out);
        (group, queries) = queries.split_at(n * head_dim);
        (group_states, states) = states.split_at_mut(n);
        (group_out, out) = out.split_at_mut(n * head_dim);
        match n {
            GROUP => attend_group::<L, GROUP>(kind, group, scale, tile, group_states, group_out),
            2 => attend_group::<L, 2>(kind, group, scale, tile, group_states, group_out),
            _ => attend_group::<L, 1>(kind, group, scale, tile, group_states, group_out),
        }
        // The first group has asked for it.
        tile.next = &[];
    }
}

/// The scores of `N` queries, which become their weights.
type Scores<const N: usize> = [[f32; TILE_LEN]; N];

#[inline(always)]
fn attend_group<L: Lanes, const N: usize>(
    kind: FloatKind,
    queries: &[f32],
    scale: f32,
    tile: Tile<'_>,
    states: &mut [RunningSoftmax],
    out: &mut [f32],
) {
    let head_dim = queries.len() / N;
    let n_positions = tile.keys.len() / (head_dim * kind.bytes());
    let queries: [&[f32]; N] = std::array::from_fn(|n| &queries[n * head_dim..][..head_dim]);
    let mut scores = [[f32::NEG_INFINITY; TILE_LEN]; N];
    if L::IS_ROOMY || N < 2 {
        score::<L, N, 4>(kind, queries, tile, scale, &mut scores);
    } else {
        let (pairs, rest) = (queries.as_chunks::<2>().0, scores.as_chunks_mut::<2>().0);
        for (queries, scores) in pairs.iter().zip(rest) {
            score::<L, 2, 2>(kind, *queries, tile, scale, scores);
        }
    }
    let n_groups = n_positions.div_ceil(N_LANES);
    let factors = weigh::<L, N>(&mut scores, n_groups, states);
    if L::IS_ROOMY || N < 2 {
        add_values::<L, N, 4>(kind, &scores, tile, factors, n_positions, out);
    } else {
        let (pairs, factors) = (scores.as_chunks::<2>().0, factors.as_chunks::<2>().0);
        let outs = out.chunks_exact_mut(2 * head_dim);
        for ((scores, factors), out) in pairs.iter().zip(factors).zip(outs) {
            add_values::<L, 2, 2>(kind, scores, tile, *factors, n_positions, out);
        }
    }
}

/// The scores of `N` queries against all keys, `K` at a time.
#[inline(always)]
fn score<L: Lanes, const N: usize, const K: usize>(
    kind: FloatKind,
    queries: [&[f32]; N],
    tile: Tile<'_>,
    scale: f32,
    scores: &mut Scores<N>,
) {
    let row_bytes = queries[0].len() * kind.bytes();
    let mut keys = tile.keys.chunks_exact(K * row_bytes);
    let mut position = 0;
    for keys in &mut keys {
        prefetch::<L>(tile.values, position * row_bytes, K * row_bytes);
        let keys = std::array::from_fn::<_, K, _>(|k| &keys[k * row_bytes..][..row_bytes]);
        let dots = dot_floats::<L, K, N>(kind, keys, queries);
        for n in 0..N {
            for k in 0..K {
                scores[n][position + k] = dots[n][k] * scale;
            }
        }
        position += K;
    }
    for key in keys.remainder().chunks_exact(row_bytes) {
        let dots = dot_floats::<L, 1, N>(kind, [key], queries);
        for n in 0..N {
            scores[n][position] = dots[n][0] * scale;
        }
        position += 1;
    }
}

/// Makes weights of scores, those beyond the last position being minus infinity, and takes them
/// into the states. Returns for each query the factors of what was before and of what comes.
#[inline(always)]
fn weigh<L: Lanes, const N: usize>(
    scores: &mut Scores<N>,
    n_groups: usize,
    states: &mut [RunningSoftmax],
) -> [[f32; 2]; N] {
    let mut tiles = [RunningSoftmax::default(); N];
    for (scores, tile) in scores.iter_mut().zip(&mut tiles) {
        let groups = &mut scores.as_chunks_mut::<N_LANES>().0[..n_groups];
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
) -> [[f32; 2]; N] {
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

/// `out = out * before + now * sum over i of weights[i] * values[i]` for `N` queries, `C * 16`
/// columns at a time.
#[inline(always)]
fn add_values<L: Lanes, const N: usize, const C: usize>(
    kind: FloatKind,
    weights: &Scores<N>,
    tile: Tile<'_>,
    factors: [[f32; 2]; N],
    n_positions: usize,
    out: &mut [f32],
) {
    let head_dim = out.len() / N;
    let mut column = 0;
    while column + C * N_LANES <= head_dim {
        add_columns::<L, N, C>(kind, weights, tile, factors, n_positions, (column, out));
        column += C * N_LANES;
    }
    while column + N_LANES <= head_dim {
        add_columns::<L, N, 1>(kind, weights, tile, factors, n_positions, (column, out));
        column += N_LANES;
    }
    if column < head_dim {
        add_last_columns::<L, N>(kind, weights, tile, factors, n_positions, (column, out));
    }
}

/// The columns of [`add_values`] that begin at `column`.
#[inline(always)]
fn add_columns<L: Lanes, const N: usize, const C: usize>(
    kind: FloatKind,
    weights: &Scores<N>,
    tile: Tile<'_>,
    factors: [[f32; 2]; N],
    n_positions: usize,
    (column, out): (usize, &mut [f32]),
) {
    let head_dim = out.len() / N;
    let (row_bytes, group_bytes) = (head_dim * kind.bytes(), N_LANES * kind.bytes());
    let mut sums = [[L::splat(0.0); C]; N];
    for position in 0..n_positions {
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

/// The columns of [`add_values`] from `column` on, fewer than there are lanes.
#[inline(always)]
fn add_last_columns<L: Lanes, const N: usize>(
    kind: FloatKind,
    weights: &Scores<N>,
    tile: Tile<'_>,
    factors: [[f32; 2]; N],
    n_positions: usize,
    (column, out): (usize, &mut [f32]),
) {
    let head_dim = out.len() / N;
    let mut sums = [L::splat(0.0); N];
    let rows = tile.values.chunks_exact(head_dim * kind.bytes()).take(n_positions);
    for (position, row) in rows.enumerate() {
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

/// See [`crate::Isa::merge_attention`].
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
