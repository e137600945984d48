//! What can be wrong with a vocabulary, and with a text.

use crate::gguf::{GgufError, Problem};
use crate::text::printable;
use thiserror::Error;

/// Why a tokenizer could not be built from a file's metadata, or a text not be encoded. Which file
/// that is, the caller knows.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// A key has the wrong type.
    #[error(transparent)]
    Metadata(Problem),

    /// A key that the tokenizer cannot do without is absent.
    #[error("`{key}` is missing; the file has no complete tokenizer: convert the model again")]
    MissingKey {
        /// The key.
        key: &'static str,
    },

    /// A pre-tokenizer that is not known here.
    #[error(
        "`tokenizer.ggml.pre` is `{}`, a way to cut texts that is not known here, and by another one texts would get wrong ids; known are {known} and their other names: convert the model again, or correct the key",
        printable(found)
    )]
    PreTokenizer {
        /// Its name.
        found: String,
        /// A name of each that is known.
        known: String,
    },

    /// A model that is not known here.
    #[error("`{key}` is `{}`, which is not supported; supported are {supported}", printable(found))]
    Unsupported {
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        supported: String,
    },

    /// The vocabulary holds no piece, or more than ids can number.
    #[error("`tokenizer.ggml.tokens` holds {found} pieces; it must hold 1 to {}", u32::MAX)]
    PieceCount {
        /// Its length.
        found: usize,
    },

    /// The vocabulary of another model.
    #[error(
        "`token_embd.weight` has {n_rows} rows, but `tokenizer.ggml.tokens` has {n_tokens} tokens: they do not belong together; convert the model again"
    )]
    Rows {
        /// Tokens in the vocabulary.
        n_tokens: usize,
        /// Tokens that the model has embeddings for.
        n_rows: usize,
    },

    /// Two arrays that run in parallel differ in length.
    #[error("`{key}` holds {found} values for {expected} pieces in `tokenizer.ggml.tokens`")]
    Length {
        /// The array's key.
        key: &'static str,
        /// Its length.
        found: usize,
        /// The number of pieces.
        expected: usize,
    },

    /// A special token's id lies beyond the vocabulary.
    #[error("`{key}` is {id}, but the vocabulary ends at id {last}")]
    IdOutOfRange {
        /// The key.
        key: &'static str,
        /// Its value.
        id: i128,
        /// The largest id there is.
        last: u32,
    },

    /// A piece's score is not a number.
    #[error("`tokenizer.ggml.scores[{id}]` is NaN")]
    ScoreNaN {
        /// The piece.
        id: usize,
    },

    /// A merge that is not two pieces of the vocabulary which join to a third.
    #[error("`tokenizer.ggml.merges[{idx}]` is `{}`: {problem}", printable(merge))]
    Merge {
        /// Its place in the array.
        idx: usize,
        /// The merge, shortened if it is long.
        merge: String,
        /// What is wrong with it.
        problem: &'static str,
    },

    /// Neither 256 byte pieces nor an unknown token: some texts would have no ids.
    #[error(
        "the vocabulary lacks the byte piece `<0x{byte:02X}>` and has no \
         `tokenizer.ggml.unknown_token_id` in its place"
    )]
    NoFallback {
        /// The first byte without a piece.
        byte: u8,
    },

    /// The special tokens do not fit a matcher of sensible size.
    #[error("the special tokens of `tokenizer.ggml.tokens` are too many or too long: {reason}")]
    Specials {
        /// What the matcher says.
        reason: String,
    },

    /// The byte-pair model refused the vocabulary or the text.
    #[error("byte-pair encoding failed")]
    BytePair(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<GgufError> for TokenizerError {
    fn from(error: GgufError) -> TokenizerError {
        TokenizerError::Metadata(*error.problem)
    }
}
