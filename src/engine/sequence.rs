//! A sequence of tokens and what the model remembers of it.

use crate::compute::Compute;
use crate::model::{Chunk, KvCache, Model, ModelError, Wanted};
use gatefold_quant::DynFormat;
use std::ops::ControlFlow;
use std::slice::ChunksExact;

/// A sequence of tokens, with the model's memory of them.
pub struct Sequence<'m> {
    model: &'m Model,
    compute: &'m Compute,
    cache: KvCache,
    tokens: Vec<u32>,
    batch_len: usize,
    weight_bytes: u64,
}

/// Tokens whose logits are computed together: 512 take 64 MB with Mixtral's vocabulary.
const MAX_LOGITS_ROWS: usize = 512;

impl<'m> Sequence<'m> {
    /// An empty sequence of up to `context_len` tokens, which is read in chunks of up to
    /// `batch_len`.
    ///
    /// # Errors
    /// If the model's heads do not fit the cache's format.
    pub fn new(
        model: &'m Model,
        compute: &'m Compute,
        cache_format: &'static DynFormat,
        context_len: usize,
        batch_len: usize,
    ) -> Result<Sequence<'m>, ModelError> {
        let cache = KvCache::new(model.config(), cache_format, context_len)?;
        let batch_len = batch_len.max(1);
        Ok(Sequence { model, compute, cache, tokens: Vec::new(), batch_len, weight_bytes: 0 })
    }

    /// The tokens remembered.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// What computes.
    pub fn compute(&self) -> &'m Compute {
        self.compute
    }

    /// Tokens that still fit.
    pub fn room(&self) -> usize {
        self.cache.context_len() - self.tokens.len()
    }

    /// Bytes of weights read so far.
    pub fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// Forgets what does not begin `tokens`, and returns how many of them are still remembered.
    /// At least one is left over, so that reading the rest gives logits.
    pub fn rewind_to(&mut self, tokens: &[u32]) -> usize {
        let common = self.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let kept = common.min(tokens.len().saturating_sub(1));
        self.tokens.truncate(kept);
        self.cache.truncate(kept);
        kept
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.cache.truncate(0);
    }

    /// Appends tokens and returns the logits that follow the last of them, `[n_vocab]`. `progress`
    /// hears after every chunk how many are done, and may end the reading; there are no logits then,
    /// as for no tokens, and the chunks read so far are remembered.
    ///
    /// # Errors
    /// If a token is not in the vocabulary or they do not fit; the sequence is unchanged then.
    pub fn read(
        &mut self,
        tokens: &[u32],
        mut progress: impl FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Vec<f32>, ModelError> {
        self.model.check(&self.cache, tokens)?;
        let mut logits = Vec::new();
        let n_chunks = tokens.chunks(self.batch_len).count();
        let mut done = 0;
        for (chunk_idx, chunk) in tokens.chunks(self.batch_len).enumerate() {
            let wanted = if chunk_idx + 1 == n_chunks { Wanted::Last } else { Wanted::None };
            logits = self.step(chunk, wanted)?;
            done += chunk.len();
            if progress(done).is_break() {
                return Ok(Vec::new());
            }
        }
        Ok(logits)
    }

    /// Appends tokens and hands out the logits after each, `[n_vocab]`, chunk after chunk.
    ///
    /// # Errors
    /// As [`Self::read`], and whatever `each` returns.
    pub fn read_all<E: From<ModelError>>(
        &mut self,
        tokens: &[u32],
        mut each: impl FnMut(ChunksExact<'_, f32>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.model.check(&self.cache, tokens)?;
        for chunk in tokens.chunks(self.batch_len.min(MAX_LOGITS_ROWS)) {
            let logits = self.step(chunk, Wanted::All)?;
            each(logits.chunks_exact(self.model.n_vocab()))?;
        }
        Ok(())
    }

    /// Appends tokens in one step and returns the logits after each, `[tokens.len(), n_vocab]`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_each(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        self.model.check(&self.cache, tokens)?;
        self.step(tokens, Wanted::All)
    }

    fn step(&mut self, tokens: &[u32], wanted: Wanted) -> Result<Vec<f32>, ModelError> {
        let chunk = Chunk { cache: &mut self.cache, tokens, wanted };
        let logits = self.model.forward(self.compute, &mut [chunk])?;
        self.tokens.extend(tokens);
        self.weight_bytes += logits.weight_bytes;
        Ok(logits.values)
    }
}
