//! What can be wrong with a checkpoint.

mod foreign;
mod torch;
mod vocabulary;

pub use foreign::Foreign;
pub use torch::TorchError;
pub use vocabulary::VocabularyProblem;

use crate::architecture::ArchitectureError;
use crate::gguf::GgufError;
use crate::text::printable;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a checkpoint could not be used: the file, and what is wrong with it, in one line.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A GGUF is at fault, and says so itself.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The sizes are none that a model can have.
    #[error(transparent)]
    Sizes(#[from] ArchitectureError),
    /// Any other file or folder.
    #[error("{}: {}", printable(path.display()), printable(problem))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
}

/// What is wrong with a file of a checkpoint.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// Neither a folder nor a file that holds a model.
    #[error(
        "{0}; a checkpoint is a GGUF file, a folder with config.json and *.safetensors or pytorch_model*.bin (Hugging Face), or a folder with params.json and consolidated.* (Mistral)"
    )]
    NotACheckpoint(String),
    /// A folder, a pipe, a device.
    #[error("is not a file; put the file of this name in its place")]
    NotAFile,
    /// What `git clone` leaves without Git LFS.
    #[error(
        "is a pointer of Git LFS in place of the file; run `git lfs pull` in its folder, or download the file itself"
    )]
    LfsPointer,
    /// A file of weights that is not what its folder is read from.
    #[error(
        "is not among the files that its folder is read from, which are {used}; name the folder, or move the others away"
    )]
    NotUsed {
        /// The names of those files.
        used: String,
    },
    /// Weights that are not where they should be.
    #[error("has no {wanted}; download the missing files into it")]
    NoWeights {
        /// Names of files that would do.
        wanted: &'static str,
    },
    /// A file that another one names is not there.
    #[error("names the file {file}, which is not beside it; download it too")]
    MissingShard {
        /// The missing one.
        file: String,
    },
    /// An index that leads out of its folder.
    #[error(
        "says that {tensor} is in {file:?}, which is not the name of a file beside it; download it again"
    )]
    Outside {
        /// Which tensor.
        tensor: String,
        /// Where it is said to be.
        file: String,
    },
    /// An index that is wrong.
    #[error("says that {tensor} is in {file}, where it is not; download both again")]
    NotInShard {
        /// Which tensor.
        tensor: String,
        /// Where it is said to be.
        file: String,
    },
    /// The structure of a file makes no sense.
    #[error("is damaged: {0}; download it again")]
    Damaged(String),
    /// The file ends before a tensor does.
    #[error("ends before its tensor {tensor} does: the file is cut short; download it again")]
    Truncated {
        /// Which tensor.
        tensor: String,
    },
    /// A file became shorter after it was opened.
    #[error("has become shorter since it was opened; leave it as it is while it is read")]
    Shrunk,
    /// A file of a tokenizer that is far larger than such a file.
    #[error(
        "has {n_bytes} bytes, and such a file has at most {most}: it is another kind of file; download it again"
    )]
    TooLarge {
        /// Its size.
        n_bytes: u64,
        /// The bound.
        most: u64,
    },
    /// A file of text with bytes that are none.
    #[error("is not UTF-8 text: the file is damaged; download it again")]
    NotText,
    /// JSON that is none.
    #[error("is not a JSON object: {0}")]
    Json(String),
    /// A key that must be there.
    #[error("has no {key}, which says {what}; download the file again")]
    MissingKey {
        /// Which.
        key: String,
        /// What it is for.
        what: &'static str,
    },
    /// A value that cannot be used.
    #[error("{key} is {found}; expected {expected}")]
    Key {
        /// Whose value.
        key: String,
        /// The value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// Two tensors of one name.
    #[error(
        "has a tensor {tensor}, and {} has one too: files whose tensors are slices (model parallel) must be put together with the program that wrote them, others be downloaded again",
        other.display()
    )]
    Duplicate {
        /// Which tensor.
        tensor: String,
        /// The other file.
        other: PathBuf,
    },
    /// A tensor that the model must have.
    #[error(
        "has no tensor {tensor}: a file is missing, or this is another kind of model; download it again"
    )]
    MissingTensor {
        /// Which, by its name in the checkpoint.
        tensor: String,
    },
    /// A tensor of another shape than the model's sizes ask for.
    #[error(
        "tensor {tensor} has the shape {found:?} (outermost first), and {expected:?} was expected"
    )]
    Shape {
        /// Which tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape it should have.
        expected: Vec<usize>,
    },
    /// A tensor of numbers that are no weights.
    #[error(
        "tensor {tensor} is {found}, and gatefold reads F64, F32, F16, BF16, F8_E4M3 and F8_E5M2, and I8 with scales: other numbers are codes of the program that made them; download the model in one of these"
    )]
    NumberType {
        /// Which tensor.
        tensor: String,
        /// What it holds.
        found: String,
    },
    /// A tensor that the model has no use for.
    #[error(
        "has a tensor {tensor}, which is none of this kind of model; without it the results would be wrong"
    )]
    Unknown {
        /// Which tensor.
        tensor: String,
    },
    /// Another kind of model.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// A PyTorch file.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// The tokenizer cannot be converted.
    #[error(transparent)]
    Vocabulary(#[from] VocabularyProblem),
}

impl Problem {
    /// The problem of the file at `path`.
    pub(super) fn at(self, path: &Path) -> CheckpointError {
        CheckpointError::File { path: path.to_path_buf(), problem: Box::new(self) }
    }
}

impl TorchError {
    /// The problem of the file at `path`.
    pub(super) fn at(self, path: &Path) -> CheckpointError {
        Problem::from(self).at(path)
    }
}
