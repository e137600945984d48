//! Attention to one tile of keys and values, over the lanes of [`crate::vector`].
//!
//! For each query: scores against the tile's keys, their exponentials relative to the tile's own
//! maximum, and the values' sum weighted by these, in the order of positions. The result joins what
//! the query has seen before, both rescaled to the larger maximum (arXiv 1805.02867, 2205.14135).
//!
//! Keys and values are read where they lie. Queries go in blocks, which share the tile: a panel of
//! some keys, or of some columns of the values, stays in the first-level cache while all groups of
//! the block, as many queries as registers have sums for, pass over it.

mod steps;

pub(crate) use steps::{add_values, score, weigh};

use crate::format::FloatKind;
use crate::isa::Isa;
use crate::vector::{Lanes, N_LANES, exp, update, zero_filled};

/// Most positions of a tile.
pub const TILE_LEN: usize = 64;

/// Queries that share the panels of a tile at most.
const BLOCK: usize = 64;

/// Queries of a single token, mostly: their scores should not take room in the cache for a block's.
const FEW: usize = 4;

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

/// See [`Isa::attend`].
pub(crate) fn attend(
    isa: Isa,
    queries: &[f32],
    scale: f32,
    mut tile: Tile<'_>,
    states: &mut [RunningSoftmax],
    out: &mut [f32],
) {
    let head_dim = queries.len() / states.len();
    let outs = out.chunks_mut(BLOCK * head_dim).zip(states.chunks_mut(BLOCK));
    for (queries, (out, states)) in queries.chunks(BLOCK * head_dim).zip(outs) {
        match states.len() {
            ..=FEW => attend_block::<FEW>(isa, queries, scale, tile, states, out),
            _ => attend_block::<BLOCK>(isa, queries, scale, tile, states, out),
        }
        // The first block has asked for it.
        tile.next = &[];
    }
}

/// Takes a block of queries, at most `MAX`, through the tile. The steps are functions by themselves,
/// so that the many constants of one take no registers from the sums of another.
fn attend_block<const MAX: usize>(
    isa: Isa,
    queries: &[f32],
    scale: f32,
    tile: Tile<'_>,
    states: &mut [RunningSoftmax],
    out: &mut [f32],
) {
    let row_bytes = queries.len() / states.len() * tile.kind.bytes();
    let n_positions = tile.keys.len() / row_bytes;
    let mut scores = [[f32::NEG_INFINITY; TILE_LEN]; MAX];
    let mut factors = [[0.0; 2]; MAX];
    let (scores, factors) = (&mut scores[..states.len()], &mut factors[..states.len()]);
    isa.score(queries, scale, tile, scores);
    isa.weigh(n_positions, scores, states, factors);
    isa.add_values(tile, scores, factors, out);
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
        for (head_dim, n_queries) in [(1, 1), (20, 3), (20, 70), (64, 7), (128, 4), (200, 2)] {
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
