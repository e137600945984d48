//! What can go wrong with summaries.

use crate::documents::DocumentsError;
use crate::jobs::JobsError;
use gatefold::engine::{GenerateError, Refusal};
use gatefold::text::printable;
use gatefold::tokenizer::{ChatError, TokenizerError};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a run cannot begin, or go on.
#[derive(Debug, Error)]
pub enum SummarizeError {
    /// A template that says nothing of the text.
    #[error(
        "the template has no {{text}} in it, where the text is to go ({{{{text}}}} says it as it is)"
    )]
    NoText,
    /// A template with places for what nobody knows.
    #[error(
        "the template has {places} in it, which stands for nothing; there are {{text}}, {{instruction}}, {{language}} and {{length}}, and what is to be said as it is has two pairs of braces: {{{{name}}}}"
    )]
    UnknownPlaces {
        /// As they are written.
        places: String,
    },
    /// There is nothing to do.
    #[error(
        "there are no documents: {} is empty or has blank lines alone; expected is a JSON object on each line",
        printable(name)
    )]
    NoDocuments {
        /// The file, or the first of several, with documents as lines.
        name: String,
    },
    /// The results would go into a file that is read.
    #[error(
        "{} has documents in it, and cannot take their summaries too; name another file with -o",
        printable(path.display())
    )]
    IsInput {
        /// The file.
        path: PathBuf,
    },
    /// The results would go where the summary of a document goes.
    #[error(
        "{} is where --beside puts the summary of {}; name another file with -o",
        printable(path.display()), printable(id)
    )]
    IsBeside {
        /// The file.
        path: PathBuf,
        /// The document.
        id: String,
    },
    /// There is no room for text between the instruction and the answer.
    #[error(
        "a context of {context_len} tokens has no room for a text beside the prompt's {n_prompt} tokens and the summary's {max_tokens}; lower -n, raise -c, or shorten the instruction"
    )]
    NoRoom {
        /// Tokens of context.
        context_len: usize,
        /// Tokens of a prompt without a text.
        n_prompt: usize,
        /// Most tokens of a summary.
        max_tokens: usize,
    },
    /// A file with the output's name that no run made.
    #[error(
        "{} exists, and is not of an earlier run, which would have left {} beside it; name another file with -o",
        printable(path.display()), printable(results_path.display())
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The file with the results.
        results_path: PathBuf,
    },
    /// A file beside a document.
    #[error("the summary of {} is not written to {}: {obstacle}; it is in the output", printable(id), printable(path.display()))]
    Beside {
        /// The document.
        id: String,
        /// The file.
        path: PathBuf,
        /// What is in the way.
        obstacle: Obstacle,
    },
    /// A file that is written when all is done.
    #[error("{} cannot be written: {error}; all results are kept, and the same command tries again", printable(path.display()))]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Stdout.
    #[error("stdout cannot be written: {0}")]
    Stdout(#[from] io::Error),
    /// Which documents there are.
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    /// The results cannot be kept.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// The prompt cannot be written.
    #[error(transparent)]
    Prompt(#[from] ChatError),
}

/// Why a summary cannot be written beside its document.
#[derive(Debug, Error)]
pub enum Obstacle {
    /// The file is to be summarized itself.
    #[error(
        "that is one of the documents; leave it out of the paths, and the summary is written there"
    )]
    Document,
    /// The file is somebody's, or somebody has changed it.
    #[error(
        "there is something that no earlier run has written, or not as it is now, or a run whose result is gone; move it away, and the same command writes the summary there"
    )]
    Foreign,
    /// The system says no.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// Why a document has no summary.
#[derive(Debug, Error)]
pub enum Failure {
    /// It cannot be read.
    #[error(transparent)]
    Document(#[from] crate::documents::Fault),
    /// It is another text than the plan was made with: in its place there may be any document's.
    #[error("has changed while the run went on; the same command summarizes it as it is now")]
    Changed,
    /// Its tokens cannot be counted.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The prompt cannot be written.
    #[error(transparent)]
    Prompt(#[from] ChatError),
    /// The engine does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The model cannot answer.
    #[error(transparent)]
    Generate(#[from] GenerateError),
    /// The model said nothing: of the whole, of each of the parts, or of their summaries.
    #[error(
        "the model's answer is empty; see whether the chat template is right (`chat_template` gives another), or try another instruction"
    )]
    Silence,
    /// The facts are cut off, and so they are no JSON.
    #[error("its facts are not complete within {n_tokens} tokens; raise -n")]
    CutOff {
        /// Tokens of the answer.
        n_tokens: usize,
    },
    /// Summaries of summaries do not get shorter.
    #[error(
        "the summaries of its {n_parts} parts make {n_next} parts again, and would never be one; lower -n, or raise -c"
    )]
    Endless {
        /// Parts of a text.
        n_parts: usize,
        /// Parts of their summaries.
        n_next: usize,
    },
}

impl Failure {
    /// Whether another run with the same document may have more luck: with more memory, say.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Failure::Changed => true,
            Failure::Refused(refusal) | Failure::Generate(GenerateError::Refused(refusal)) => {
                matches!(refusal, Refusal::Memory { .. })
            }
            Failure::Generate(error) => {
                matches!(error, GenerateError::Model(_) | GenerateError::Stopped)
            }
            _ => false,
        }
    }
}
