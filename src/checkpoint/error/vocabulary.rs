//! What can be wrong with a tokenizer's files.

use crate::text::shortened;
use crate::tokenizer::TokenizerError;
use thiserror::Error;

/// What is wrong with a tokenizer's file, or with the folder that should hold it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VocabularyProblem {
    /// No file that defines a tokenizer.
    #[error(
        "holds no tokenizer.model and no tokenizer.json; download one of them from where the model is published into this folder"
    )]
    NoTokenizer,
    /// Mistral's own format of byte-level vocabularies.
    #[error(
        "holds its tokenizer as tekken.json alone, and gatefold converts tokenizer.model and tokenizer.json; download the tokenizer.json of the model's Hugging Face release into this folder"
    )]
    Tekken,
    /// The format of Meta's own releases of byte-level vocabularies.
    #[error(
        "is a vocabulary of tiktoken, and gatefold converts tokenizer.model files of SentencePiece and tokenizer.json; download the tokenizer.json of the model's Hugging Face release into this folder"
    )]
    Tiktoken,
    /// JSON that does not parse, or not to what it should be.
    #[error("is not the JSON that was expected: {reason}; download it again")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// Bytes that are no protocol buffer, or not SentencePiece's.
    #[error("is no SentencePiece model: {found} at byte {offset}; download it again")]
    SentencePiece {
        /// Where.
        offset: usize,
        /// What is there.
        found: &'static str,
    },
    /// A tokenizer that works in another way than those that a GGUF of this kind describes.
    #[error(
        "has {found}, and gatefold converts {supported} only; take a model with such a tokenizer, or a GGUF of this one that another program made"
    )]
    Unsupported {
        /// What it has.
        found: String,
        /// What it may have.
        supported: &'static str,
    },
    /// Merges whose order scores cannot give.
    #[error(
        "its merges have no order of pieces: {found}; download the model's tokenizer.model into this folder, which is read in its place"
    )]
    Merges {
        /// Where the order fails.
        found: String,
    },
    /// A model with a senseless number of embeddings.
    #[error(
        "belongs to a model with embeddings for {n_vocab} tokens, and 1 to {most} are sensible; check vocab_size in the model's config.json or params.json"
    )]
    ModelSize {
        /// Tokens that the model has embeddings for.
        n_vocab: usize,
        /// The bound.
        most: usize,
    },
    /// The files of two models.
    #[error(
        "has {n_tokens} tokens, and the model has embeddings for {n_vocab}: they do not belong together; download both from one place"
    )]
    OtherModel {
        /// The largest id and one.
        n_tokens: u64,
        /// Tokens that the model has embeddings for.
        n_vocab: usize,
    },
    /// Two tokens of one id.
    #[error("has two tokens with id {id}, `{first}` and `{second}`; download it again")]
    SameId {
        /// The id.
        id: u64,
        /// The one.
        first: String,
        /// The other.
        second: String,
    },
    /// The vocabulary as a whole does not work.
    #[error("makes no tokenizer: {0}; download it again")]
    Unusable(TokenizerError),
}

impl VocabularyProblem {
    /// What a JSON parser says, which quotes the file and so may be long.
    pub(in crate::checkpoint) fn json(error: &serde_json::Error) -> VocabularyProblem {
        VocabularyProblem::Json { reason: shortened(&error.to_string()) }
    }
}
