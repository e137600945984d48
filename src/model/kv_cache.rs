//! The KV cache of a sequence: the keys and values of its tokens, per layer and head.

use super::ModelError;
use super::pages::{NewRows, Page, PageLayout, PagePool, TILE_LEN, TileMemory};
use crate::architecture::Config;
use gatefold_quant::attention::Tile;
use gatefold_quant::{DynFormat, Isa};
use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// The KV cache of one sequence, in pages of [`TILE_LEN`] positions.
///
/// Memory grows with the sequence: `2 * n_layers * n_kv_heads * head_dim` values per token,
/// 128 KiB for Mixtral 8x7B in F16 and 68 KiB in Q8_0.
pub struct KvCache {
    pool: PagePool,
    context_len: usize,
    len: usize,
    pages: Vec<Arc<Page>>,
}

impl KvCache {
    /// An empty cache for up to `context_len` tokens, with pages of its own.
    ///
    /// # Errors
    /// If the heads are not whole blocks of `format`.
    pub fn new(
        config: &Config,
        format: &'static DynFormat,
        context_len: usize,
    ) -> Result<KvCache, ModelError> {
        let pool = PagePool::new(PageLayout::new(config, format)?, u64::MAX);
        Ok(KvCache::in_pool(&pool, context_len))
    }

    /// An empty cache for up to `context_len` tokens, with pages of this pool.
    pub fn in_pool(pool: &PagePool, context_len: usize) -> KvCache {
        KvCache { pool: pool.clone(), context_len, len: 0, pages: Vec::new() }
    }

    /// How keys and values lie in its pages.
    pub fn layout(&self) -> PageLayout {
        self.pool.layout()
    }

    /// Bytes of all pages of its pool that are in use.
    pub(super) fn pool_bytes(&self) -> u64 {
        self.layout().bytes_of(self.pool.n_used())
    }

    /// Tokens whose keys and values it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no token.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Most tokens it may hold.
    pub fn context_len(&self) -> usize {
        self.context_len
    }

    /// Drops all but the first `len` tokens.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        self.pages.truncate(self.len.div_ceil(TILE_LEN));
    }

    /// A cache of the first `len` of these tokens. The pages are shared until one of the two
    /// writes to them.
    pub fn fork(&self, len: usize) -> KvCache {
        let len = self.len.min(len);
        let pages = self.pages[..len.div_ceil(TILE_LEN)].to_vec();
        KvCache { pool: self.pool.clone(), context_len: self.context_len, len, pages }
    }

    /// Makes room for `n_tokens` more, in pages that no other sequence sees.
    ///
    /// # Errors
    /// If the pool has no more pages. What was made of the room stays.
    pub fn reserve(&mut self, n_tokens: usize) -> Result<(), ModelError> {
        let n_pages = (self.len + n_tokens).div_ceil(TILE_LEN);
        let KvCache { pool, len, pages, .. } = self;
        let n_rows = *len % TILE_LEN;
        let written = pages.iter_mut().take(n_pages).skip(*len / TILE_LEN);
        let mut fits = written.into_iter().all(|page| pool.make_exclusive(page, n_rows));
        while fits && pages.len() < n_pages {
            fits = pool.append(pages);
        }
        let max_tokens = pool.max_pages().saturating_mul(TILE_LEN);
        if fits { Ok(()) } else { Err(ModelError::CacheMemory { max_tokens }) }
    }

    /// The stretches of pages that the next `n_tokens` go to, in order; there is room for them.
    pub(super) fn new_rows(&mut self, n_tokens: usize) -> impl Iterator<Item = NewRows<'_>> {
        let (start, end) = (self.len, self.len + n_tokens);
        let n_pages = end.div_ceil(TILE_LEN);
        let pages = self.pages.iter_mut().enumerate().take(n_pages).skip(start / TILE_LEN);
        pages.map(move |(page_idx, page)| {
            let slot = |position: usize| position.saturating_sub(page_idx * TILE_LEN).min(TILE_LEN);
            let slots = slot(start)..slot(end);
            let page = Arc::get_mut(page).expect("reserving has made it exclusive");
            NewRows { page, slots }
        })
    }

    /// Counts `n_tokens` more as held, once their keys and values are in every layer.
    pub(super) fn advance(&mut self, n_tokens: usize) {
        self.len += n_tokens;
    }

    /// The first `n_rows` keys and values of tile `tile_idx` of a head, for `n_tokens` query tokens.
    pub(super) fn tile<'a>(
        &'a self,
        isa: Isa,
        layer_and_head: (usize, usize),
        (tile_idx, n_rows): (usize, usize),
        n_tokens: usize,
        memory: &'a mut TileMemory,
    ) -> Tile<'a> {
        let layout = self.layout();
        let n_bytes = n_rows * layout.row_bytes();
        let (keys, values) = self.pages[tile_idx].head(layer_and_head);
        let next = self.pages.get(tile_idx + 1).map_or(&[][..], |page| page.head(layer_and_head).0);
        memory.tile(isa, layout, (&keys[..n_bytes], &values[..n_bytes]), n_tokens, next)
    }

    /// Adds the pages that this sequence will not write to any more, and returns how many they are.
    pub(crate) fn collect_full_pages(&self, pages: &mut HashSet<*const Page>) -> usize {
        let n_full = self.len / TILE_LEN;
        pages.extend(self.pages[..n_full].iter().map(Arc::as_ptr));
        n_full
    }

    /// Writes keys and values, in the order of the pages: `len` times
    /// [`PageLayout::position_bytes`].
    ///
    /// # Errors
    /// If `out` cannot be written to.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let row_bytes = self.pool.layout().row_bytes();
        for (page, start) in self.pages.iter().zip((0..self.len).step_by(TILE_LEN)) {
            let n_rows = (self.len - start).min(TILE_LEN);
            for tile in page.tiles() {
                out.write_all(&tile[..n_rows * row_bytes])?;
            }
        }
        Ok(())
    }

    /// Reads the keys and values of `n_tokens` that [`Self::write_to`] wrote, to an empty cache with
    /// [room](Self::reserve) for them.
    ///
    /// # Errors
    /// If `input` ends too soon or cannot be read; the cache is empty then.
    pub fn read_from(&mut self, n_tokens: usize, input: &mut impl Read) -> io::Result<()> {
        let row_bytes = self.pool.layout().row_bytes();
        for new_rows in self.new_rows(n_tokens) {
            for tile in new_rows.page.tiles_mut() {
                input.read_exact(&mut tile[..new_rows.slots.len() * row_bytes])?;
            }
        }
        self.advance(n_tokens);
        Ok(())
    }
}
