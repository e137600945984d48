//! Attention to one tile of the KV cache, over the lanes of the module `vector`.
//!
//! For each query: scores against the tile's keys (QK^T), their exponentials relative to the tile's
//! own maximum, and the values' sum weighted by these, in the order of positions (PV). With the
//! online softmax (arXiv 1805.02867, 2205.14135) the result is merged with what the query has seen
//! before, both rescaled to the larger maximum.
//!
//! Keys and values are read where they lie. Queries go in blocks, which share the tile: a panel of
//! some keys, or of some columns of the values, stays in the first-level cache while all groups of
//! the block, as many queries as registers have sums for, pass over it.

mod steps;

pub(crate) use steps::{accumulate_pv, score, softmax_update};

use crate::format::FloatKind;
use crate::vector::{Lanes, N_LANES, exp, update, zero_filled};
use std::ops::Range;

/// Most positions of a tile.
pub const TILE_LEN: usize = 64;

/// Keys and values of up to [`TILE_LEN`] positions.
#[derive(Clone, Copy)]
pub struct Tile<'a> {
    /// How the numbers are stored.
    pub kind: FloatKind,
    /// `[n_positions, head_dim]`, as little-endian bytes.
    pub keys: &'a [u8],
    /// `[n_positions, head_dim]`, as little-endian bytes.
    pub values: &'a [u8],
    /// What is read after this tile and therefore prefetched; may be empty.
    pub next: &'a [u8],
}

impl<'a> Tile<'a> {
    /// The tile of some of its positions.
    pub fn rows(self, rows: Range<usize>, head_dim: usize) -> Tile<'a> {
        let row_bytes = head_dim * self.kind.bytes();
        let bytes = rows.start * row_bytes..rows.end * row_bytes;
        Tile { keys: &self.keys[bytes.clone()], values: &self.values[bytes], ..self }
    }
}

/// The state of a query's online softmax: the maximum of its scores so far, and the sum of their
/// exponentials relative to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunningSoftmax {
    /// The largest score so far.
    pub max: f32,
    /// The sum of the exponentials of the scores, relative to `max`.
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

/// The scores of some queries, a row each, which become their softmax weights in place.
pub(crate) type Scores = [[f32; TILE_LEN]];

/// Rescale factors of the online softmax, to the larger of two maximums: for what was accumulated
/// before a tile, and for what the tile adds.
pub(crate) type Rescale = [f32; 2];

/// Merges the states of later positions into `states`, and returns the rescale factors of both
/// sides.
#[inline(always)]
fn merge_softmax<L: Lanes, const N: usize>(
    states: &mut [RunningSoftmax],
    others: &[RunningSoftmax; N],
) -> [Rescale; N] {
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
        let [[before, now]] = merge_softmax::<L, 1>(std::slice::from_mut(state), &[*later]);
        let (before, now) = (L::splat(before), L::splat(now));
        update!(L, out, later_out, |out, later| out.mul(before).add(later.mul(now)));
    }
}
