//! Why a model cannot be measured.

use crate::model::ModelError;
use crate::text::printable;
use std::io;
use thiserror::Error;

/// Why a model cannot be measured.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The model could not take a step.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A window needs a few tokens.
    #[error("windows of {0} tokens are too short to score; use `context_len` 8 or more")]
    Window(usize),
    /// Less text than one window.
    #[error(
        "the text has {n_tokens} tokens, and one window takes {window_len}; give a longer text or a smaller `context_len`"
    )]
    Text {
        /// Tokens of the text.
        n_tokens: usize,
        /// Tokens per window.
        window_len: usize,
    },
    /// Logits that are NaN or infinite.
    #[error(
        "{name}: the logits are not finite: the model's weights are damaged (`inspect::check` finds the tensor)"
    )]
    NotFinite {
        /// The model's file.
        name: String,
    },
    /// Two models that do not speak of the same tokens.
    #[error(
        "{base} has another vocabulary than {model}: {difference}; compare a model with the one that it was quantized from",
        base = printable(base), model = printable(model), difference = printable(difference)
    )]
    Vocabulary {
        /// The file of the base.
        base: String,
        /// The file of the model.
        model: String,
        /// Where they differ.
        difference: String,
    },
    /// A file of saved logits that cannot be used.
    #[error("{}: {}", printable(path), printable(problem))]
    Saved {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: SavedProblem,
    },
}

/// What is wrong with a file of saved logits.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SavedProblem {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// It ends too early.
    #[error("is cut short: save it again")]
    CutShort,
    /// Another kind of file than one of saved logits.
    #[error("does not begin like a file of saved logits; make it with `save_base`")]
    NotSaved,
    /// A format from before or after our time.
    #[error(
        "has saved logits of version {found}, and this gatefold reads version {expected}; save them again"
    )]
    Version {
        /// The file's.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// Saved from a model with other tokens.
    #[error(
        "was saved from a model with another vocabulary, of {found} tokens; this model has {expected}: compare a model with the one that it was quantized from"
    )]
    Vocabulary {
        /// Tokens of the saved model.
        found: u32,
        /// Tokens of the model to be measured.
        expected: u32,
    },
    /// Saved with windows of another length.
    #[error(
        "was saved with windows of {found} tokens, and these have {expected}; use `context_len` {found}"
    )]
    WindowLen {
        /// The file's.
        found: u64,
        /// Those of this measurement.
        expected: u64,
    },
    /// Saved over a longer or a shorter text.
    #[error(
        "was saved over another text: {found} windows, and this one has {expected}; give the same text, or save again"
    )]
    TextLen {
        /// Windows in the file.
        found: u64,
        /// Windows of the text.
        expected: u64,
    },
    /// Saved over a text with other tokens.
    #[error(
        "was saved over another text: token {position} of the windows is {found}, and here it is {expected}; give the same text, or save again"
    )]
    Text {
        /// Where they differ first.
        position: usize,
        /// The token there in the file.
        found: u32,
        /// The token of the text.
        expected: u32,
    },
    /// Cut short, or something follows.
    #[error("has {found} bytes where {expected} are due: it is damaged; save it again")]
    Length {
        /// Bytes in the file.
        found: u64,
        /// Bytes that the header asks for.
        expected: u64,
    },
}

impl From<io::Error> for SavedProblem {
    fn from(error: io::Error) -> SavedProblem {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => SavedProblem::CutShort,
            _ => SavedProblem::Read(error),
        }
    }
}
