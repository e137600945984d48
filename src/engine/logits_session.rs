//! A sequence of tokens of which every logit is wanted, as for measuring: teacher forcing.

use super::status::add_counts;
use crate::compute::Compute;
use crate::model::{Chunk, Gates, KvCache, Model, ModelError, Wanted};
use gatefold_quant::DynFormat;
use std::slice::ChunksExact;

/// A sequence of tokens with its KV cache, read in one go or piece by piece.
pub struct LogitsSession<'m> {
    model: &'m Model,
    compute: &'m Compute,
    cache: KvCache,
    batch_len: usize,
    expert_tokens: Vec<Vec<u64>>,
    without: Option<(usize, usize)>,
}

/// Tokens whose logits are computed together: 512 take 64 MB with Mixtral's vocabulary.
pub(super) const MAX_LOGITS_ROWS: usize = 512;

impl<'m> LogitsSession<'m> {
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
    ) -> Result<LogitsSession<'m>, ModelError> {
        let cache = KvCache::new(model.config(), cache_format, context_len)?;
        Ok(LogitsSession {
            model,
            compute,
            cache,
            batch_len: batch_len.max(1),
            expert_tokens: Vec::new(),
            without: None,
        })
    }

    /// Leaves out an expert from now on, by its layer and its index there ([`Gates::without`]).
    pub fn leave_out(&mut self, expert: Option<(usize, usize)>) {
        self.without = expert;
    }

    /// How many tokens each expert of each layer has evaluated so far, `[n_layers][n_experts]`.
    pub fn expert_tokens(&self) -> &[Vec<u64>] {
        &self.expert_tokens
    }

    /// The model.
    pub fn model(&self) -> &'m Model {
        self.model
    }

    /// Empties the KV cache.
    pub fn clear(&mut self) {
        self.cache.truncate(0);
    }

    /// Appends tokens, without logits.
    ///
    /// # Errors
    /// If a token is not in the vocabulary or they do not fit; the sequence is unchanged then.
    pub fn prefill(&mut self, tokens: &[u32]) -> Result<(), ModelError> {
        self.model.check(tokens, self.cache.len(), self.cache.context_len())?;
        for chunk in tokens.chunks(self.batch_len) {
            self.step(chunk, Wanted::None)?;
        }
        Ok(())
    }

    /// Appends tokens and hands out the logits after each, `[n_vocab]`, chunk after chunk.
    ///
    /// # Errors
    /// As [`Self::prefill`], and whatever `each` returns.
    pub fn prefill_all<E: From<ModelError>>(
        &mut self,
        tokens: &[u32],
        mut each: impl FnMut(ChunksExact<'_, f32>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.model.check(tokens, self.cache.len(), self.cache.context_len())?;
        for chunk in tokens.chunks(self.batch_len.min(MAX_LOGITS_ROWS)) {
            let logits = self.step(chunk, Wanted::All)?;
            each(logits.chunks_exact(self.model.n_vocab()))?;
        }
        Ok(())
    }

    /// Appends tokens in one step and returns the logits after each, `[tokens.len(), n_vocab]`.
    ///
    /// # Errors
    /// As [`Self::prefill`].
    pub fn prefill_each(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        self.step(tokens, Wanted::All)
    }

    fn step(&mut self, tokens: &[u32], wanted: Wanted) -> Result<Vec<f32>, ModelError> {
        let chunk = Chunk { cache: &mut self.cache, tokens, wanted };
        let gates = Gates { without: self.without, ..Gates::default() };
        let logits = self.model.forward_gated(self.compute, &mut [chunk], gates)?;
        self.expert_tokens.resize(logits.expert_tokens.len(), Vec::new());
        for (all, new) in self.expert_tokens.iter_mut().zip(&logits.expert_tokens) {
            add_counts(all, new);
        }
        Ok(logits.values)
    }
}
