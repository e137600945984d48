//! Scores, softmax and weighted values: grouped-query attention over tiles of the cache.
//!
//! For one query head: each tile of [`TILE_LEN`] positions gives a maximum score, a sum of
//! exponentials and a weighted sum of values, all relative to its own maximum; merging two of
//! these rescales both to the larger maximum (arXiv 1805.02867, 2205.14135). Tiles are merged in
//! the order of their positions.

use super::Config;
use super::kv_cache::KvCache;
use super::pages::{TILE_LEN, Tile};
use crate::compute::Compute;
use gatefold_quant::Isa;
use rayon::prelude::*;

/// Query tokens that one task takes together, so that a tile is read from the cache once for all.
const QUERY_BLOCK: usize = 16;

/// One sequence's part of a step: its cache, and the range of its tokens' rows.
pub(super) struct Queries<'a> {
    /// The cache, with the keys and values of these tokens already in it.
    pub cache: &'a KvCache,
    /// Position of the first token.
    pub position: usize,
    /// Query vectors, `[n_tokens, n_heads * head_dim]`, rotated.
    pub queries: &'a [f32],
    /// The result, of the same shape.
    pub out: &'a mut [f32],
}

/// Attends to one layer of every sequence's cache.
pub(super) fn attend(
    compute: &Compute,
    config: &Config,
    layer_idx: usize,
    sequences: Vec<Queries<'_>>,
) {
    let row_len = config.n_heads * config.head_dim;
    let mut tasks = Vec::new();
    for Queries { cache, position, queries, out } in sequences {
        let blocks =
            queries.chunks(QUERY_BLOCK * row_len).zip(out.chunks_mut(QUERY_BLOCK * row_len));
        for (block_idx, (queries, out)) in blocks.enumerate() {
            let position = position + block_idx * QUERY_BLOCK;
            for (kv_head, out) in heads_of(config, out).into_iter().enumerate() {
                tasks.push(Task { cache, position, queries, layer_idx, kv_head, out });
            }
        }
    }
    tasks.into_par_iter().with_max_len(1).for_each(|task| task.run(compute.isa, config));
}

/// Splits rows `[n_tokens, n_heads * head_dim]` by the key-value head that serves them: for each,
/// the tokens' slices of `[group_len * head_dim]`.
fn heads_of<'a>(config: &Config, rows: &'a mut [f32]) -> Vec<Vec<&'a mut [f32]>> {
    let group = config.group_len() * config.head_dim;
    let mut by_head: Vec<_> = (0..config.n_kv_heads).map(|_| Vec::new()).collect();
    for (slice_idx, slice) in rows.chunks_exact_mut(group).enumerate() {
        by_head[slice_idx % config.n_kv_heads].push(slice);
    }
    by_head
}

/// Some consecutive query tokens of a sequence, seen by one key-value head.
struct Task<'a> {
    cache: &'a KvCache,
    position: usize,
    queries: &'a [f32],
    layer_idx: usize,
    kv_head: usize,
    out: Vec<&'a mut [f32]>,
}

impl Task<'_> {
    fn run(mut self, isa: Isa, config: &Config) {
        let head_dim = config.head_dim;
        let (row_len, group) = (config.n_heads * head_dim, config.group_len() * head_dim);
        let scale = 1.0 / (head_dim as f32).sqrt();
        let mut softmax = vec![RunningSoftmax::default(); self.out.len() * config.group_len()];
        let mut tile = Tile::zeros(head_dim);
        let mut weighted = vec![0.0; head_dim];
        let last_position = self.position + self.out.len() - 1;
        for tile_idx in 0..=last_position / TILE_LEN {
            let n_rows = (last_position + 1 - tile_idx * TILE_LEN).min(TILE_LEN);
            let head = (self.layer_idx, self.kv_head);
            self.cache.load_tile(isa, head, (tile_idx, n_rows), &mut tile);
            for (token_idx, out) in self.out.iter_mut().enumerate() {
                // A token sees positions up to its own.
                let visible = (self.position + token_idx + 1).saturating_sub(tile_idx * TILE_LEN);
                let visible = visible.min(TILE_LEN);
                if visible == 0 {
                    continue;
                }
                let (keys, values) =
                    (&tile.keys[..visible * head_dim], &tile.values[..visible * head_dim]);
                let queries = &self.queries[token_idx * row_len + self.kv_head * group..][..group];
                let heads = queries.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim));
                let states = &mut softmax[token_idx * config.group_len()..];
                for ((query, out), state) in heads.zip(states) {
                    let mut scores = [0.0; TILE_LEN];
                    let scores = &mut scores[..visible];
                    isa.scores(query, keys, scale, scores);
                    let max = scores
                        .iter()
                        .fold(f32::NEG_INFINITY, |max, &s| if s > max { s } else { max });
                    let sum = isa.exp_sum(scores, max);
                    weighted.fill(0.0);
                    isa.weighted_sum(scores, values, &mut weighted);
                    state.merge(isa, RunningSoftmax { max, sum }, out, &weighted);
                }
            }
        }
        for (out, state) in
            self.out.iter_mut().flat_map(|out| out.chunks_exact_mut(head_dim)).zip(softmax)
        {
            out.iter_mut().for_each(|value| *value /= state.sum);
        }
    }
}

/// Maximum and sum of exponentials of the scores so far.
#[derive(Clone, Copy)]
struct RunningSoftmax {
    max: f32,
    sum: f32,
}

impl Default for RunningSoftmax {
    fn default() -> Self {
        RunningSoftmax { max: f32::NEG_INFINITY, sum: 0.0 }
    }
}

impl RunningSoftmax {
    /// Takes in a tile's state; `out` and `weighted` are the unnormalized sums that go with them.
    fn merge(&mut self, isa: Isa, tile: RunningSoftmax, out: &mut [f32], weighted: &[f32]) {
        let max = if tile.max > self.max { tile.max } else { self.max };
        let mut factors = [self.max, tile.max];
        isa.exp_sum(&mut factors, max);
        let [before, now] = factors;
        *self = RunningSoftmax { max, sum: self.sum * before + tile.sum * now };
        for (out, weighted) in out.iter_mut().zip(weighted) {
            *out = *out * before + weighted * now;
        }
    }
}
