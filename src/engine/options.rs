//! How an engine works.

#[cfg(doc)]
use crate::architecture::Config;
use crate::language_model::LanguageModel;
use crate::machine;
use crate::model::{ModelError, PageLayout, TILE_LEN};
use gatefold_quant::DynFormat;

/// How an engine works; all but `cache_format` leave answers as they are.
///
/// [`Options::for_model`] has what is right for most; change a field with `..`.
#[derive(Clone, Debug)]
pub struct Options {
    /// Format of the KV cache.
    pub cache_format: &'static DynFormat,
    /// Most tokens of one sequence, prompt and answer.
    pub context_len: usize,
    /// Token budget of a step: most tokens, of decode and prefill together.
    pub max_batched_tokens: usize,
    /// Most running sequences; never more than the token budget of a step.
    pub max_running: usize,
    /// Bytes that the KV cache of all sequences may take.
    pub memory_bytes: u64,
}

impl Options {
    /// Up to 32 sequences in steps of 512 tokens, in the memory that is free beside the weights, with
    /// the model's [usual context](Config::usual_context_len) or as much of it as fits there. The KV
    /// cache is Q8_0, or F16 where heads are no whole blocks. Where the model is larger than memory, each
    /// step reads from the disk, and more sequences share it.
    pub fn for_model(model: &LanguageModel) -> Options {
        let shares = model.model.shares();
        let cache_bytes = shares.and_then(|shares| shares.cache_bytes);
        let cache_bytes =
            cache_bytes.unwrap_or_else(|| machine::cache_bytes(model.gguf.n_tensor_bytes()));
        let options = Options::in_memory(model, cache_bytes);
        match shares.and_then(|shares| shares.max_batched_tokens) {
            Some(max_batched_tokens) => Options { max_batched_tokens, max_running: 128, ..options },
            None => options,
        }
    }

    /// As [`Self::for_model`], with this much memory for the KV cache.
    pub fn in_memory(model: &LanguageModel, memory_bytes: u64) -> Options {
        let config = model.model.config();
        let cache_format = PageLayout::compact_format(config);
        let max_tokens = |layout: PageLayout| (memory_bytes / layout.bytes_of(1)) * TILE_LEN as u64;
        let max_tokens = PageLayout::new(config, cache_format).map_or(0, max_tokens);
        let max_tokens = usize::try_from(max_tokens).unwrap_or(usize::MAX);
        Options {
            cache_format,
            context_len: config.usual_context_len().min(max_tokens.max(TILE_LEN)),
            max_batched_tokens: 512,
            max_running: 32,
            memory_bytes,
        }
    }

    /// One sequence at a time, with the memory for a whole context.
    ///
    /// # Errors
    /// If the model's heads do not fit the cache's format.
    pub fn one_at_a_time(self, model: &LanguageModel) -> Result<Options, ModelError> {
        let layout = PageLayout::new(model.model.config(), self.cache_format)?;
        let memory_bytes = layout.bytes_of(layout.n_pages(self.context_len));
        Ok(Options { max_running: 1, memory_bytes, ..self })
    }
}
