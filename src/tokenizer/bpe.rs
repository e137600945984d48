//! Merging pairs of pieces by rank: the package `tokenizers`, behind the feature `byte-level`.
//!
//! That package brings some thirty others. A program that runs SentencePiece vocabularies alone
//! (Mistral's, Llama 2's) can do without.

#[cfg(feature = "byte-level")]
mod with_tokenizers {
    use crate::tokenizer::TokenizerError;
    use tokenizers::Model;
    use tokenizers::models::bpe::{BPE, Vocab};

    /// The pieces and merges of a vocabulary.
    pub struct Bpe(BPE);

    impl Bpe {
        /// A vocabulary; with `ignores_merges`, a text that is one piece as a whole is not merged.
        pub fn new(
            pieces: &[String],
            merges: &[(String, String)],
            ignores_merges: bool,
        ) -> Result<Bpe, TokenizerError> {
            let mut ids = Vocab::with_capacity(pieces.len());
            for (id, piece) in (0..).zip(pieces) {
                ids.entry(piece.clone()).or_insert(id);
            }
            let bpe = BPE::builder()
                .vocab_and_merges(ids, merges.to_vec())
                .ignore_merges(ignores_merges)
                .build();
            bpe.map(Bpe).map_err(TokenizerError::BytePair)
        }

        /// Appends the ids of a pre-token. What the vocabulary has no piece for has no id.
        pub fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
            let tokens = self.0.tokenize(text).map_err(TokenizerError::BytePair)?;
            ids.extend(tokens.into_iter().map(|token| token.id));
            Ok(())
        }
    }
}

#[cfg(feature = "byte-level")]
pub(super) use with_tokenizers::Bpe;

/// The pieces and merges of a vocabulary: none can be had in this build.
#[cfg(not(feature = "byte-level"))]
pub(super) enum Bpe {}

#[cfg(not(feature = "byte-level"))]
impl Bpe {
    /// Refuses.
    pub fn new(
        _pieces: &[String],
        _merges: &[(String, String)],
        _ignores_merges: bool,
    ) -> Result<Bpe, super::TokenizerError> {
        Err(super::TokenizerError::BytePair(
            "this build of gatefold lacks the feature byte-level".into(),
        ))
    }

    /// Is never called.
    pub fn encode(&self, _text: &str, _ids: &mut Vec<u32>) -> Result<(), super::TokenizerError> {
        match *self {}
    }
}
