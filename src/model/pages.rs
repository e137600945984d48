//! Pages of KV caches (paged attention): their memory, in pieces of one size.
//!
//! A page has the keys and values of [`TILE_LEN`] positions, of all layers and heads: a tile of
//! attention is a slice of a page. Pages are shared between sequences with a common prefix.

use super::ModelError;
use crate::architecture::Config;
use gatefold_quant::attention::Tile;
use gatefold_quant::{DynFormat, FloatKind, Isa};
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Positions per page. Tiles start at multiples of it, whatever the prompt's chunks, and are taken in
/// in order, so that neither chunks nor threads change a bit of the result.
pub use gatefold_quant::attention::TILE_LEN;

/// A row of these bytes reads back as NaN in each of the cache's formats: damaged weights must show,
/// and a quantizer is made for finite values.
const NOT_A_NUMBER: u8 = 0xff;

/// How keys and values lie in a page: `[n_layers, n_kv_heads, 2, TILE_LEN, head_dim]`, where 2 is
/// keys, then values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PageLayout {
    /// Format of the keys and values.
    pub format: &'static DynFormat,
    /// Transformer layers.
    pub n_layers: usize,
    /// Key and value heads per layer.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
}

impl PageLayout {
    /// The layout for a model's keys and values in this format.
    ///
    /// # Errors
    /// If the heads are not whole blocks of `format`.
    pub fn new(config: &Config, format: &'static DynFormat) -> Result<PageLayout, ModelError> {
        let Config { head_dim, n_kv_heads, n_layers, .. } = *config;
        if format.row_bytes(head_dim).is_none() {
            let (format, block_len) = (format.name, format.block_len);
            return Err(ModelError::CacheFormat { format, block_len, head_dim });
        }
        Ok(PageLayout { format, n_layers, n_kv_heads, head_dim })
    }

    /// The format that takes least memory: Q8_0, or F16 where a model's heads are no whole blocks.
    pub fn compact_format(config: &Config) -> &'static DynFormat {
        let fits = |format: &&DynFormat| format.row_bytes(config.head_dim).is_some();
        let mut formats = ["Q8_0", "F16"].into_iter().filter_map(DynFormat::by_name);
        formats.find(fits).expect("F16 has blocks of one value")
    }

    /// Bytes of the keys or values of one position in one head.
    pub fn row_bytes(&self) -> usize {
        self.head_dim / self.format.block_len * self.format.block_bytes
    }

    /// Bytes of the keys or values of a page in one head.
    pub fn tile_bytes(&self) -> usize {
        TILE_LEN * self.row_bytes()
    }

    /// Bytes of a page.
    pub fn page_bytes(&self) -> usize {
        TILE_LEN * self.position_bytes()
    }

    /// Bytes of the keys and values of one position.
    pub fn position_bytes(&self) -> usize {
        2 * self.n_layers * self.n_kv_heads * self.row_bytes()
    }

    /// Pages for this many positions.
    pub fn n_pages(&self, n_tokens: usize) -> usize {
        n_tokens.div_ceil(TILE_LEN)
    }

    /// Bytes of this many pages.
    pub fn bytes_of(&self, n_pages: usize) -> u64 {
        self.page_bytes() as u64 * n_pages as u64
    }

    /// Where the keys of a head begin; its values follow.
    fn head_start(&self, layer_idx: usize, kv_head: usize) -> usize {
        2 * (layer_idx * self.n_kv_heads + kv_head) * self.tile_bytes()
    }
}

/// Hands out pages up to a limit, and takes them back when nobody holds them any more. Clones are
/// the same pool.
#[derive(Clone)]
pub struct PagePool(Arc<Shared>);

struct Shared {
    layout: PageLayout,
    max_pages: usize,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    /// The memory of pages that were given back.
    free: Vec<Vec<u8>>,
    n_used: usize,
}

impl PagePool {
    /// A pool of as many pages as `memory_bytes` hold. Memory is taken when pages are.
    pub fn new(layout: PageLayout, memory_bytes: u64) -> PagePool {
        let max_pages = memory_bytes / layout.page_bytes() as u64;
        let max_pages = usize::try_from(max_pages).unwrap_or(usize::MAX);
        PagePool(Arc::new(Shared { layout, max_pages, pages: Mutex::default() }))
    }

    /// How keys and values lie in a page.
    pub fn layout(&self) -> PageLayout {
        self.0.layout
    }

    /// Most pages at a time.
    pub fn max_pages(&self) -> usize {
        self.0.max_pages
    }

    /// Pages that are held by somebody.
    pub fn n_used(&self) -> usize {
        self.0.lock().n_used
    }

    /// A page with unspecified contents; none if all are held.
    fn take(&self) -> Option<Page> {
        let mut pages = self.0.lock();
        if pages.n_used == self.0.max_pages {
            return None;
        }
        pages.n_used += 1;
        let bytes = pages.free.pop().unwrap_or_else(|| vec![0; self.0.layout.page_bytes()]);
        Some(Page { bytes, pool: self.clone() })
    }

    /// Makes `page` one that nobody else holds, with the first `n_rows` positions as they were.
    /// False if that takes a page and there is none.
    pub(super) fn make_exclusive(&self, page: &mut Arc<Page>, n_rows: usize) -> bool {
        if Arc::get_mut(page).is_some() {
            return true;
        }
        let Some(mut copy) = self.take() else { return false };
        let n_bytes = n_rows * self.layout().row_bytes();
        for (copy, tile) in copy.tiles_mut().zip(page.tiles()) {
            copy[..n_bytes].copy_from_slice(&tile[..n_bytes]);
        }
        *page = Arc::new(copy);
        true
    }

    /// A new page behind the others. False if there is none.
    pub(super) fn append(&self, pages: &mut Vec<Arc<Page>>) -> bool {
        let page = self.take();
        let there_is_one = page.is_some();
        pages.extend(page.map(Arc::new));
        there_is_one
    }
}

impl Shared {
    /// The pages. Nothing that holds the lock can panic half-way, so a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys and values of [`TILE_LEN`] positions.
pub struct Page {
    bytes: Vec<u8>,
    pool: PagePool,
}

impl Page {
    /// Keys, then values, of head after head, `[TILE_LEN, head_dim]` each.
    pub(super) fn tiles(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.pool.layout().tile_bytes())
    }

    /// As [`Self::tiles`], to be written.
    pub(super) fn tiles_mut(&mut self) -> impl Iterator<Item = &mut [u8]> {
        self.bytes.chunks_exact_mut(self.pool.0.layout.tile_bytes())
    }

    /// The keys of a head and its values, `[TILE_LEN, head_dim]` each.
    pub(super) fn head(&self, (layer_idx, kv_head): (usize, usize)) -> (&[u8], &[u8]) {
        let layout = self.pool.layout();
        let head = &self.bytes[layout.head_start(layer_idx, kv_head)..][..2 * layout.tile_bytes()];
        head.split_at(layout.tile_bytes())
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let mut pages = self.pool.0.lock();
        pages.n_used -= 1;
        pages.free.push(mem::take(&mut self.bytes));
    }
}

/// The positions of a page that a step fills.
pub(super) struct NewRows<'a> {
    /// The page.
    pub page: &'a mut Page,
    /// Which positions, counted from the beginning of the page.
    pub slots: Range<usize>,
}

impl NewRows<'_> {
    /// Stores one position's keys and values, `[n_kv_heads, head_dim]` each, in a layer.
    pub fn store(&mut self, isa: Isa, layer_idx: usize, slot: usize, keys: &[f32], values: &[f32]) {
        let layout = self.page.pool.layout();
        let PageLayout { format, head_dim, .. } = layout;
        let store = |row: &[f32], stored: &mut [u8]| match row.iter().all(|x| x.is_finite()) {
            true => format.quantize(isa, row, stored),
            false => stored.fill(NOT_A_NUMBER),
        };
        let rows = keys.chunks_exact(head_dim).zip(values.chunks_exact(head_dim));
        for (kv_head, (key, value)) in rows.enumerate() {
            let head = &mut self.page.bytes[layout.head_start(layer_idx, kv_head)..];
            let (keys, values) = head.split_at_mut(layout.tile_bytes());
            let row = slot * layout.row_bytes()..(slot + 1) * layout.row_bytes();
            store(key, &mut keys[row.clone()]);
            store(value, &mut values[row]);
        }
    }
}

/// Memory for a tile's keys and values in f32, where they are not read as they are stored.
#[derive(Default)]
pub(super) struct TileMemory {
    keys: Vec<f32>,
    values: Vec<f32>,
}

/// Query tokens from which on it is worth while to widen a tile of short floats once for all.
const MANY_TOKENS: usize = 3;

impl TileMemory {
    /// Makes `stored`, a head's keys and values in the layout's format, such that attention of
    /// `n_tokens` can read them. `next` is what will be read after them.
    pub fn tile<'a>(
        &'a mut self,
        isa: Isa,
        layout: PageLayout,
        (keys, values): (&'a [u8], &'a [u8]),
        n_tokens: usize,
        next: &'a [u8],
    ) -> Tile<'a> {
        if let Some(kind) = layout.format.float_kind
            && (kind == FloatKind::F32 || n_tokens < MANY_TOKENS)
        {
            return Tile { kind, keys, values, next };
        }
        let n_values = keys.len() / layout.row_bytes() * layout.head_dim;
        let widen = |stored, memory: &'a mut Vec<f32>| {
            memory.resize(n_values, 0.0);
            layout.format.dequantize(isa, stored, memory);
            bytemuck::cast_slice(memory)
        };
        let (keys, values) = (widen(keys, &mut self.keys), widen(values, &mut self.values));
        Tile { kind: FloatKind::F32, keys, values, next }
    }
}
