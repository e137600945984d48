//! Checkpoints: models as their makers publish them, seen as the tensors and metadata of a GGUF.
//!
//! Three kinds of input come in, and all leave in the same shape:
//!
//! 1. [`hugging_face`]: a folder with `config.json` and safetensors;
//! 2. [`mistral`]: a folder with `params.json` and `consolidated.*`, PyTorch zip files or safetensors;
//! 3. [`gguf_file`]: a GGUF, of any format and either expert layout.
//!
//! [`safetensors`] and [`torch`] find the tensors that files hold, under the names they have there
//! ([`stored`]); the layouts above give them a GGUF's names and say in which order their rows come
//! ([`tensor`]). [`vocabulary`] turns the tokenizer's files into metadata. Opening reads headers
//! alone; the weights are read row by row, when somebody asks.

pub mod error;
pub mod gguf_file;
pub mod hugging_face;
pub mod mistral;
pub mod safetensors;
pub mod stored;
pub mod tensor;
pub mod torch;
pub mod vocabulary;

pub use error::{CheckpointError, Problem};
pub use stored::{SourceFile, StoredTensor, StoredTensors};
pub use tensor::{RowOrder, Tensor};
pub use torch::TorchError;

use crate::gguf::Metadata;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A model, as a GGUF would hold it, and where its weights are.
pub struct Checkpoint {
    /// What was opened.
    pub path: PathBuf,
    /// What it is, in words: `a Hugging Face folder`.
    pub kind: &'static str,
    /// The files that hold the weights.
    pub files: Vec<Arc<SourceFile>>,
    /// Architecture, sizes, vocabulary; without `general.file_type`.
    pub metadata: Metadata,
    /// The tensors, in the order in which the model uses them.
    pub tensors: Vec<Tensor>,
}

impl Checkpoint {
    /// Opens a folder or a file, of whatever kind it is. For a folder, the kind is told by what
    /// lies in it; for a file, by its first bytes.
    ///
    /// # Errors
    /// Whatever is wrong with the files; a path that is no checkpoint is told what one looks like.
    pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
        gguf_file::open(path)
    }
}
