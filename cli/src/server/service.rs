//! What a loaded model is to the server.

use crate::batch::{Setup, Terms};
use crate::jobs::Key;
use crate::openai::{Forms, Prompts};
use crate::store::Store;
use gatefold::engine::Handle;
use gatefold::tokenizer::{ChatTemplate, Tokenizer};
use std::sync::Arc;

/// A model that answers.
pub struct Service {
    /// The engine.
    pub handle: Handle,
    /// The model's vocabulary.
    pub tokenizer: Arc<Tokenizer>,
    /// How it wants conversations written.
    pub template: ChatTemplate,
    /// The forms that answers can have.
    pub forms: Forms,
    /// What it is called.
    pub name: String,
    /// Whether requests must call it so, if they name a model.
    pub is_name_required: bool,
    /// Stands for everything that an answer depends on besides its request.
    pub basis: Key,
    /// Experts that take each token; 1 for a dense model.
    pub top_k: usize,
    /// Most tokens of one sequence.
    pub context_len: usize,
    /// Bytes that keys and values may take.
    pub memory_bytes: u64,
    /// Most tokens of an answer in a chat that does not say.
    pub max_tokens: Option<usize>,
    /// When it was loaded, in seconds since 1970.
    pub created: u64,
    /// Where files and batches are kept, if they are.
    pub store: Option<Arc<Store>>,
}

impl Service {
    /// What makes tokens of prompts.
    pub(super) fn prompts(&self) -> Prompts<'_> {
        Prompts { tokenizer: &self.tokenizer, template: &self.template, forms: &self.forms }
    }

    /// What answers batches, just as `gatefold batch` does.
    pub(super) fn batches(&self, max_running: usize) -> Setup<'_> {
        Setup {
            prompts: self.prompts(),
            model_name: self.name.clone(),
            terms: Terms {
                basis: self.basis.clone(),
                max_tokens: self.max_tokens,
                model_name: self.is_name_required.then(|| self.name.clone()),
            },
            max_running,
        }
    }
}
