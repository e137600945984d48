//! What a loaded model is to the server.

use crate::openai::{Forms, Prompts};
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
    /// Stands for everything that an answer depends on besides its request, in hexadecimal digits.
    pub basis: String,
    /// Most tokens of one sequence.
    pub context_len: usize,
    /// Bytes that keys and values may take.
    pub memory_bytes: u64,
    /// Most tokens of an answer in a chat that does not say.
    pub max_tokens: Option<usize>,
    /// When it was loaded, in seconds since 1970.
    pub created: u64,
}

impl Service {
    /// What makes tokens of prompts.
    pub(super) fn prompts(&self) -> Prompts<'_> {
        Prompts { tokenizer: &self.tokenizer, template: &self.template, forms: &self.forms }
    }
}
