//! Grouped-query attention over a sequence's KV cache, in tiles and spans, by online softmax.
//!
//! A tile is [`TILE_LEN`] positions, what `gatefold_quant::attention` takes at a time; a span is
//! [`SPAN_TILES`] tiles. Each span is attended to by itself, tile after tile, and spans are merged in
//! order. Both lie at fixed positions, whatever the chunks of a prompt, and may be worked on by any
//! threads: a long context keeps all of them busy, even with a single token and few heads.
//!
//! With a sliding window a token skips the spans and tiles that lie before it. A block is short: of
//! two neighbouring spans of it every token sees one, so that no two empty states are merged.

use crate::architecture::Config;
use crate::compute::Compute;
use crate::model::kv_cache::KvCache;
use crate::model::pages::{TILE_LEN, TileMemory};
use gatefold_quant::Isa;
use gatefold_quant::attention::RunningSoftmax;
use rayon::prelude::*;
use std::ops::Range;

/// Query tokens that one task takes together, so that a tile is read from the cache once for all.
const QUERY_BLOCK: usize = 16;

/// Tiles of a span: some 30 us of reading for one token of Mixtral, enough to pay for the merge.
const SPAN_TILES: usize = 16;

/// Positions of a span.
const SPAN_LEN: usize = SPAN_TILES * TILE_LEN;

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
                let head = (layer_idx, kv_head);
                tasks.push((Block { config, cache, position, queries, head }, out));
            }
        }
    }
    tasks.into_par_iter().with_max_len(1).for_each(|(block, out)| block.attend(compute.isa, out));
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

/// Some consecutive query tokens of a sequence, seen by one key-value head of a layer.
struct Block<'a> {
    config: &'a Config,
    cache: &'a KvCache,
    /// Of the first token.
    position: usize,
    /// All heads' queries, `[n_tokens, n_heads * head_dim]`.
    queries: &'a [f32],
    /// Layer and key-value head.
    head: (usize, usize),
}

/// What the queries of a block, `[n_tokens, group_len]`, have seen of the cache.
struct Seen {
    softmax: Vec<RunningSoftmax>,
    /// Unnormalized, `[n_tokens, group_len * head_dim]`.
    values: Vec<f32>,
}

impl Block<'_> {
    /// Attends to what each token sees; `out` has a slice per token.
    fn attend(&self, isa: Isa, out: Vec<&mut [f32]>) {
        let queries = self.own_queries();
        let first_span = self.visible(0).start / SPAN_LEN;
        let n_spans = (self.position + out.len()).div_ceil(SPAN_LEN);
        let spans = (first_span..n_spans).into_par_iter().with_max_len(1);
        let spans: Vec<Seen> =
            spans.map(|span_idx| self.attend_span(isa, &queries, span_idx)).collect();
        let mut spans = spans.into_iter();
        let mut seen = spans.next().expect("a token sees itself");
        for later in spans {
            isa.merge_attention(&mut seen.softmax, &mut seen.values, &later.softmax, &later.values);
        }
        let heads = out.into_iter().flat_map(|out| out.chunks_exact_mut(self.config.head_dim));
        let values = seen.values.chunks_exact(self.config.head_dim).zip(&seen.softmax);
        for (out, (values, softmax)) in heads.zip(values) {
            for (out, value) in out.iter_mut().zip(values) {
                *out = value / softmax.sum;
            }
        }
    }

    /// The positions that a token of the block sees: its own and those before it, as far back as the
    /// model's window reaches.
    fn visible(&self, token_idx: usize) -> Range<usize> {
        let end = self.position + token_idx + 1;
        self.config.window.map_or(0, |window| end.saturating_sub(window))..end
    }

    /// The head's queries, `[n_tokens, group_len * head_dim]`.
    fn own_queries(&self) -> Vec<f32> {
        let group = self.config.group_len() * self.config.head_dim;
        let groups = self.queries.chunks_exact(group).skip(self.head.1);
        groups.step_by(self.config.n_kv_heads).collect::<Vec<_>>().concat()
    }

    fn attend_span(&self, isa: Isa, queries: &[f32], span_idx: usize) -> Seen {
        let (head_dim, group_len) = (self.config.head_dim, self.config.group_len());
        let n_tokens = queries.len() / (group_len * head_dim);
        let end = self.position + n_tokens;
        let (first, last) = (self.visible(0), self.visible(n_tokens - 1));
        let scale = 1.0 / (head_dim as f32).sqrt();
        let mut seen = Seen {
            softmax: vec![RunningSoftmax::default(); n_tokens * group_len],
            values: vec![0.0; n_tokens * group_len * head_dim],
        };
        let mut memory = TileMemory::default();
        let first_tile = (span_idx * SPAN_TILES).max(first.start / TILE_LEN);
        for tile_idx in first_tile..((span_idx + 1) * SPAN_TILES).min(end.div_ceil(TILE_LEN)) {
            let start = tile_idx * TILE_LEN;
            let n_rows = (end - start).min(TILE_LEN);
            let tile = self.cache.tile(isa, self.head, (tile_idx, n_rows), n_tokens, &mut memory);
            if last.start <= start && start + n_rows <= first.end {
                // Every token sees all of it.
                isa.attend(queries, scale, tile, &mut seen.softmax, &mut seen.values);
                continue;
            }
            let states = seen.softmax.chunks_exact_mut(group_len);
            let values = seen.values.chunks_exact_mut(group_len * head_dim);
            let tokens = queries.chunks_exact(group_len * head_dim).zip(states.zip(values));
            for (token_idx, (queries, (states, values))) in tokens.enumerate() {
                let visible = self.visible(token_idx);
                let row = |position: usize| position.saturating_sub(start).min(n_rows);
                let rows = row(visible.start)..row(visible.end);
                if !rows.is_empty() {
                    isa.attend(queries, scale, tile.rows(rows, head_dim), states, values);
                }
            }
        }
        seen
    }
}
