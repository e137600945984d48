//! A model that is ready to run: a file's weights with its tokenizer.

use crate::gguf::{Gguf, GgufError};
use crate::model::{Memory, Model, ModelError};
use crate::tokenizer::{ChatError, ChatTemplate, Tokenizer, TokenizerError};
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// A model that is ready to run: what a GGUF holds, checked. Clones share it.
#[derive(Clone)]
pub struct LanguageModel {
    /// The file.
    pub gguf: Arc<Gguf>,
    /// Its weights.
    pub model: Arc<Model>,
    /// Its vocabulary.
    pub tokenizer: Arc<Tokenizer>,
}

/// Why a model cannot be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is at fault.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// It is no model that can be run.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its vocabulary is damaged.
    #[error("{}: {error}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: TokenizerError,
    },
}

impl LanguageModel {
    /// Opens a GGUF; of a split one, any part. It is mapped if it fits into the memory that is free; else
    /// what does not fit is read from the disk, step by step.
    ///
    /// # Errors
    /// If the file is no GGUF, no model that can be run, or has no usable vocabulary.
    pub fn open(path: impl AsRef<Path>) -> Result<LanguageModel, OpenError> {
        LanguageModel::from_gguf(Gguf::open(path.as_ref())?)
    }

    /// The model in a file that is open already, as [`Self::open`] has it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_gguf(gguf: Gguf) -> Result<LanguageModel, OpenError> {
        LanguageModel::in_memory(gguf, &Memory::default(), |_, _| ())
    }

    /// The model in a file that is open already, within some memory. `progress` hears how many bytes, of how
    /// many, were read of those that always stay there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn in_memory(
        gguf: Gguf,
        memory: &Memory,
        progress: impl FnMut(u64, u64),
    ) -> Result<LanguageModel, OpenError> {
        let model = Model::load(&gguf)?.in_memory(&gguf, memory, progress)?;
        LanguageModel::of(gguf, model)
    }

    /// The model in a file that is open already, all of it mapped, for whoever asks it nothing.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn mapped(gguf: Gguf) -> Result<LanguageModel, OpenError> {
        let model = Model::load(&gguf)?;
        LanguageModel::of(gguf, model)
    }

    fn of(gguf: Gguf, model: Model) -> Result<LanguageModel, OpenError> {
        let tokenizer = Tokenizer::from_gguf(&gguf)
            .map_err(|error| OpenError::Tokenizer { path: gguf.path().into(), error })?;
        Ok(LanguageModel {
            gguf: Arc::new(gguf),
            model: Arc::new(model),
            tokenizer: Arc::new(tokenizer),
        })
    }

    /// The chat template that the file carries, else that of the format which the vocabulary has
    /// tokens for, else Mistral's.
    ///
    /// # Errors
    /// If the file's template is damaged.
    pub fn chat_template(&self) -> Result<ChatTemplate, ChatError> {
        let template = ChatTemplate::from_metadata(self.gguf.metadata())?;
        Ok(template.unwrap_or_else(|| ChatTemplate::for_vocabulary(&self.tokenizer)))
    }

    /// What its user should know of the file: what was read otherwise than it says, or may be lost.
    /// A sentence each.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.tokenizer.notes().iter().map(String::as_str)
    }

    /// Identifies what keys and values depend on beside the tokens: the model, the context's length
    /// where rotations depend on it, and the window, which earlier versions passed over.
    pub fn cache_fingerprint(&self, context_len: usize) -> [u8; 32] {
        let config = self.model.config();
        let is_stretched = config.rope.original_len().is_some_and(|len| context_len > len);
        let parts = [is_stretched.then_some(context_len), config.window];
        let mut fingerprint = self.gguf.fingerprint();
        for part in parts.into_iter().flatten() {
            let digest = Sha256::new_with_prefix(fingerprint);
            fingerprint = digest.chain_update((part as u64).to_le_bytes()).finalize().into();
        }
        fingerprint
    }

    /// What the model calls itself, else what its file is called.
    ///
    /// # Errors
    /// If the key of the name is no text.
    pub fn name(&self) -> Result<String, GgufError> {
        let file_name = || self.gguf.path().file_stem().unwrap_or_default().to_string_lossy();
        let name = self.gguf.metadata().str("general.name")?;
        Ok(name.map_or_else(|| file_name().into(), str::to_owned))
    }
}

impl fmt::Debug for LanguageModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LanguageModel").field("path", &self.gguf.path()).finish_non_exhaustive()
    }
}
