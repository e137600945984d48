//! Texts through a model, many in a step, for what its routers make of them.

use crate::compute::Compute;
use crate::model::{
    Chunk, Gates, KvCache, Model, ModelError, PageLayout, PagePool, Routes, Wanted,
};
use crate::tokenizer::Tokenizer;
use gatefold_quant::DynFormat;
use std::collections::VecDeque;

/// A piece of a text, which is read from nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// How many at its beginning are read without being counted: BOS, or a prompt.
    pub n_context: usize,
    /// Which domain the text is of.
    pub domain_idx: usize,
    /// The text's number in its domain.
    pub document_idx: u64,
}

/// The windows of a text: `tokens`, without BOS, in pieces that fit into `window_len` with it.
pub fn windows<'a>(
    tokenizer: &Tokenizer,
    tokens: &'a [u32],
    window_len: usize,
    (domain_idx, document_idx): (usize, u64),
) -> impl Iterator<Item = Window> + use<'a> {
    let first = tokenizer.first_token();
    let n_context = usize::from(first.is_some());
    tokens.chunks(window_len.saturating_sub(n_context).max(1)).map(move |piece| Window {
        tokens: first.into_iter().chain(piece.iter().copied()).collect(),
        n_context,
        domain_idx,
        document_idx,
    })
}

/// A window on its way.
struct Open {
    window: Window,
    cache: KvCache,
    routes: Routes,
}

impl Open {
    fn n_left(&self) -> usize {
        self.window.tokens.len() - self.cache.len()
    }
}

/// Reads windows at the speed of prefill: a step takes as many of them as fit.
pub struct Reader<'m> {
    model: &'m Model,
    compute: &'m Compute,
    pool: PagePool,
    context_len: usize,
    batch_len: usize,
    /// Of the last step.
    routes: Routes,
    open: VecDeque<Open>,
}

impl<'m> Reader<'m> {
    /// A reader of windows of up to `context_len` tokens, in steps of `batch_len`, that also notes
    /// what `routes` asks for. Keys and values are kept in `cache_format`.
    ///
    /// # Errors
    /// If the model's heads do not fit the cache's format.
    pub fn new(
        model: &'m Model,
        compute: &'m Compute,
        cache_format: &'static DynFormat,
        (context_len, batch_len): (usize, usize),
        routes: Routes,
    ) -> Result<Reader<'m>, ModelError> {
        let pool = PagePool::new(PageLayout::new(model.config(), cache_format)?, u64::MAX);
        let open = VecDeque::new();
        let batch_len = batch_len.max(1);
        Ok(Reader { model, compute, pool, context_len, batch_len, routes, open })
    }

    /// Takes a window, to be read in one of the next steps.
    ///
    /// # Errors
    /// If it does not fit into the context, or has a token that the model does not.
    pub fn push(&mut self, window: Window) -> Result<(), ModelError> {
        self.model.check(&window.tokens, 0, self.context_len)?;
        let cache = KvCache::in_pool(&self.pool, self.context_len);
        self.open.push_back(Open { window, cache, routes: Routes::default() });
        Ok(())
    }

    /// Whether a step is full with what there is to read.
    pub fn is_full(&self) -> bool {
        self.open.iter().map(Open::n_left).sum::<usize>() >= self.batch_len
    }

    /// Whether there is nothing to read.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Takes a step, and hands out the windows that it has read to their end, in the order in which
    /// they came, with what the routers chose for each of their tokens.
    ///
    /// # Errors
    /// If the model cannot take it.
    pub fn step(&mut self, mut each: impl FnMut(&Window, &Routes)) -> Result<(), ModelError> {
        let mut budget = self.batch_len;
        let mut chunk_lens = Vec::new();
        let mut chunks = Vec::new();
        for open in &mut self.open {
            let n_read = open.cache.len();
            let chunk_len = open.n_left().min(budget);
            budget -= chunk_len;
            if chunk_len == 0 {
                break;
            }
            let tokens = &open.window.tokens[n_read..][..chunk_len];
            chunk_lens.push(chunk_len);
            chunks.push(Chunk { cache: &mut open.cache, tokens, wanted: Wanted::None });
        }
        let gates = Gates { routes: Some(&mut self.routes), ..Gates::default() };
        self.model.forward_gated(self.compute, &mut chunks, gates)?;
        let mut start = 0;
        for (open, chunk_len) in self.open.iter_mut().zip(chunk_lens) {
            open.routes.extend_from(&self.routes, start..start + chunk_len);
            start += chunk_len;
        }
        while self.open.front().is_some_and(|open| open.n_left() == 0)
            && let Some(open) = self.open.pop_front()
        {
            each(&open.window, &open.routes);
        }
        Ok(())
    }
}
