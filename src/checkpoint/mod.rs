//! Checkpoints: models as their makers publish them, seen as the tensors and metadata of a GGUF.
//!
//! Three kinds of input come in, and all leave in the same shape:
//!
//! 1. `hugging_face`: a folder with `config.json` and safetensors, or PyTorch's `.bin` files;
//! 2. `mistral`: a folder with `params.json` and `consolidated.*`, PyTorch zip files or safetensors;
//! 3. `gguf_file`: a GGUF, of any format and either expert layout.
//!
//! [`safetensors`] and [`torch`] find the tensors that files hold, of which a model has one or many
//! (`shards`), under the names they have there ([`StoredTensors`]). A [`Folder`] is listed once.
//! [`crate::architecture`] says which tensors the model has, and the folders' layouts (`layout`) where
//! each of them is stored and how its rows are arranged there ([`Tensor`]). [`vocabulary`] turns the
//! tokenizer's files into metadata. Opening reads headers alone; the weights are read row by row, when
//! somebody asks. A folder of another kind is told what it is (`foreign`).

mod decoding;
mod error;
mod folder;
mod foreign;
mod gguf_file;
mod hugging_face;
mod json;
mod layout;
mod mistral;
mod rope;
pub mod safetensors;
mod shards;
mod stored;
mod tensor;
pub mod torch;
pub mod vocabulary;

pub use decoding::{Decoding, Numbers, Scale};
pub use error::{CheckpointError, Foreign, Problem, TorchError, VocabularyProblem};
pub use folder::Folder;
pub use stored::{SourceFile, StoredTensor, StoredTensors};
pub use tensor::{Part, Reader, RowOrder, Tensor};

use crate::files::folder_of;
use crate::gguf::Metadata;
use std::ffi::OsStr;
use std::fs;
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
    /// Architecture, sizes, vocabulary; with `general.file_type` only where a GGUF had it.
    pub metadata: Metadata,
    /// The tensors, in the order in which the model uses them.
    pub tensors: Vec<Tensor>,
    /// What was read otherwise than the files say it, or left out: a sentence each.
    pub notes: Vec<String>,
}

impl Checkpoint {
    /// Opens a folder or a file, of whatever kind it is. For a folder, the kind is told by what
    /// lies in it; for a file, by its first bytes. A file of a folder of weights stands for the
    /// folder.
    ///
    /// # Errors
    /// Whatever is wrong with the files; a path that is no checkpoint is told what one looks like.
    pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
        let metadata = fs::metadata(path).map_err(|error| Problem::Read(error).at(path))?;
        if metadata.is_dir() {
            return open_folder(&Folder::open(path)?);
        }
        if gguf_file::has_magic(path)? {
            return gguf_file::open(path);
        }
        let of_folder = ["json", "safetensors", "pth", "pt", "bin"];
        let extension = path.extension().and_then(OsStr::to_str);
        if !extension.is_some_and(|extension| of_folder.contains(&extension)) {
            return Err(gguf_file::refusal(path));
        }
        let folder = Folder::open(folder_of(path))?;
        let checkpoint = match mistral::has_file(path) {
            true => mistral::open(&folder),
            false => open_folder(&folder),
        }?;
        let used = checkpoint.files.iter().filter_map(|file| file.path.file_name());
        if extension == Some("json") || used.clone().any(|name| Some(name) == path.file_name()) {
            return Ok(checkpoint);
        }
        let used: Vec<_> = used.map(OsStr::to_string_lossy).collect();
        Err(Problem::NotUsed { used: used.join(", ") }.at(path))
    }
}

/// Mistral's repositories on the hub have both kinds of weights beside each other, with the same
/// content: Hugging Face's are taken if they are there.
fn open_folder(folder: &Folder) -> Result<Checkpoint, CheckpointError> {
    let opened = match (folder.has(hugging_face::CONFIG), folder.has(mistral::PARAMS)) {
        (true, true) if hugging_face::has_weights(folder) => hugging_face::open(folder),
        (_, true) => mistral::open(folder),
        (true, false) => hugging_face::open(folder),
        (false, false) => {
            let what = "has neither config.json nor params.json".to_owned();
            Err(folder.problem(Problem::NotACheckpoint(what)))
        }
    };
    opened.map_err(|error| foreign::explained(folder, &StoredTensors::default(), error))
}
