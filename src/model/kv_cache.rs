//! What a sequence remembers: the keys and values of its tokens, per layer and head.

use super::{Config, ModelError};
use gatefold_quant::{DynFormat, Isa};

/// Positions per attention tile. Tiles start at multiples of it, whatever the prompt's chunks, and
/// are merged in order, so that neither chunks nor threads change a bit of the result.
pub const TILE_LEN: usize = 64;

/// Rows by which a head's memory grows.
const GROWTH: usize = 4 * TILE_LEN;

/// A row of these bytes reads back as NaN in each of the cache's formats: damaged weights must show,
/// and a quantizer is made for finite values.
const NOT_A_NUMBER: u8 = 0xff;

/// The keys and values of one sequence.
///
/// Memory grows with the sequence: `2 * n_layers * n_kv_heads * head_dim` values per token,
/// 128 KiB for Mixtral 8x7B in F16 and 68 KiB in Q8_0.
pub struct KvCache {
    format: &'static DynFormat,
    head_dim: usize,
    n_kv_heads: usize,
    context_len: usize,
    len: usize,
    /// `[n_layers, n_kv_heads]`
    heads: Vec<HeadCache>,
}

/// Keys and values of one head, `[len, head_dim]` each, in the cache's format.
#[derive(Clone, Default)]
struct HeadCache {
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl KvCache {
    /// An empty cache for up to `context_len` tokens.
    ///
    /// # Errors
    /// If the heads are not whole blocks of `format`.
    pub fn new(
        config: &Config,
        format: &'static DynFormat,
        context_len: usize,
    ) -> Result<KvCache, ModelError> {
        let Config { head_dim, n_kv_heads, n_layers, .. } = *config;
        if format.row_bytes(head_dim).is_none() {
            let (format, block_len) = (format.name, format.block_len);
            return Err(ModelError::CacheFormat { format, block_len, head_dim });
        }
        let heads = vec![HeadCache::default(); n_layers * n_kv_heads];
        Ok(KvCache { format, head_dim, n_kv_heads, context_len, len: 0, heads })
    }

    /// Tokens remembered.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no token is remembered.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most tokens it may hold.
    pub fn context_len(&self) -> usize {
        self.context_len
    }

    /// Forgets all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        let bytes = self.len * self.row_bytes();
        for head in &mut self.heads {
            head.keys.truncate(bytes);
            head.values.truncate(bytes);
        }
    }

    fn row_bytes(&self) -> usize {
        self.head_dim / self.format.block_len * self.format.block_bytes
    }

    /// Appends one token's keys and values, `[n_kv_heads, head_dim]` each, to a layer.
    pub(super) fn push(&mut self, isa: Isa, layer_idx: usize, keys: &[f32], values: &[f32]) {
        let (format, row_bytes) = (self.format, self.row_bytes());
        let append = |stored: &mut Vec<u8>, row: &[f32]| {
            let start = stored.len();
            if start == stored.capacity() {
                stored.reserve_exact(GROWTH * row_bytes);
            }
            stored.resize(start + row_bytes, NOT_A_NUMBER);
            if row.iter().all(|value| value.is_finite()) {
                format.quantize(isa, row, &mut stored[start..]);
            }
        };
        let heads = &mut self.heads[layer_idx * self.n_kv_heads..][..self.n_kv_heads];
        let rows = keys.chunks_exact(self.head_dim).zip(values.chunks_exact(self.head_dim));
        for (head, (key, value)) in heads.iter_mut().zip(rows) {
            append(&mut head.keys, key);
            append(&mut head.values, value);
        }
    }

    /// Counts `n_tokens` as remembered, once they are in every layer.
    pub(super) fn advance(&mut self, n_tokens: usize) {
        self.len += n_tokens;
    }

    /// Reads tile `tile_idx` of a head: up to [`TILE_LEN`] keys and values, those stored so far.
    pub(super) fn load_tile(
        &self,
        isa: Isa,
        (layer_idx, kv_head): (usize, usize),
        tile_idx: usize,
        tile: &mut Tile,
    ) {
        let head = &self.heads[layer_idx * self.n_kv_heads + kv_head];
        let row_bytes = self.row_bytes();
        let start = tile_idx * TILE_LEN * row_bytes;
        let end = (start + TILE_LEN * row_bytes).min(head.keys.len());
        let n_values = (end - start) / row_bytes * self.head_dim;
        self.format.dequantize(isa, &head.keys[start..end], &mut tile.keys[..n_values]);
        self.format.dequantize(isa, &head.values[start..end], &mut tile.values[..n_values]);
    }
}

/// A tile of keys and values in f32, `[TILE_LEN, head_dim]` each.
pub(super) struct Tile {
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
}

impl Tile {
    pub fn zeros(head_dim: usize) -> Tile {
        Tile { keys: vec![0.0; TILE_LEN * head_dim], values: vec![0.0; TILE_LEN * head_dim] }
    }
}
