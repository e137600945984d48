//! How an engine works.

use crate::model::{Config, ModelError, PageLayout};
use gatefold_quant::DynFormat;

/// How an engine works; none of it changes an answer.
#[derive(Clone, Debug)]
pub struct Options {
    /// Format of the remembered keys and values. (This one does change answers, a little.)
    pub cache_format: &'static DynFormat,
    /// Most tokens of one sequence, prompt and answer.
    pub context_len: usize,
    /// Most tokens of a step, prompts and answers together.
    pub step_len: usize,
    /// Most requests that are worked on at the same time.
    pub max_live: usize,
    /// Bytes that all keys and values may take.
    pub memory_bytes: u64,
}

impl Options {
    /// One request at a time, with the memory for a whole context.
    ///
    /// # Errors
    /// If the model's heads do not fit the cache's format.
    pub fn one_at_a_time(
        config: &Config,
        cache_format: &'static DynFormat,
        context_len: usize,
        step_len: usize,
    ) -> Result<Options, ModelError> {
        let layout = PageLayout::new(config, cache_format)?;
        let memory_bytes = layout.bytes_of(layout.n_pages(context_len));
        Ok(Options { cache_format, context_len, step_len, max_live: 1, memory_bytes })
    }
}
