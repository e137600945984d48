//! Which requests an engine can take.

use super::request::{Refusal, Request};
use crate::model::{Model, PageLayout};
use std::sync::Arc;

/// What decides whether a request could ever be answered.
#[derive(Clone)]
pub(super) struct Limits {
    /// The model, whose vocabulary prompts must keep to.
    pub model: Arc<Model>,
    /// How large keys and values are.
    pub layout: PageLayout,
    /// Pages of the KV cache, of all sequences together.
    pub max_pages: usize,
    /// Most tokens of one sequence.
    pub context_len: usize,
}

impl Limits {
    /// Checks that a request could be answered if it were alone.
    pub fn check(&self, request: &Request) -> Result<(), Refusal> {
        let Limits { layout, max_pages, context_len, .. } = *self;
        if request.prompt.is_empty() {
            return Err(Refusal::EmptyPrompt);
        }
        self.model.check(&request.prompt, 0, context_len)?;
        let n_tokens = request.max_len(context_len);
        let n_pages = layout.n_pages(n_tokens);
        if n_pages > max_pages {
            let wanted_bytes = layout.bytes_of(n_pages);
            let memory_bytes = layout.bytes_of(max_pages);
            return Err(Refusal::Memory { n_tokens, wanted_bytes, memory_bytes });
        }
        Ok(())
    }
}
