//! Whether two models speak of the same tokens.

use super::EvalError;
use crate::gguf::{Gguf, GgufError};
use crate::tokenizer::keys::TOKENS;
use sha2::{Digest, Sha256};

/// What the columns of a model's logits stand for.
#[derive(Clone, Copy)]
pub struct Vocabulary<'a> {
    /// The texts of the tokens.
    pieces: &'a [String],
    /// Logits after each token.
    pub(super) n_logits: usize,
}

impl<'a> Vocabulary<'a> {
    /// That of a file whose model gives `n_logits` logits after each token.
    ///
    /// # Errors
    /// If the file has no vocabulary.
    pub fn of(gguf: &'a Gguf, n_logits: usize) -> Result<Vocabulary<'a>, GgufError> {
        let metadata = gguf.metadata();
        Ok(Vocabulary { pieces: metadata.required(TOKENS, metadata.strings(TOKENS))?, n_logits })
    }

    /// Checks that a model, in the file `model`, has the vocabulary of its base, in the file `base`.
    ///
    /// # Errors
    /// If it has another one.
    pub fn check_same(
        self,
        base: Vocabulary<'_>,
        model: &str,
        base_name: &str,
    ) -> Result<(), EvalError> {
        let difference = match self.difference(base) {
            None => return Ok(()),
            Some(difference) => difference,
        };
        Err(EvalError::Vocabulary { base: base_name.into(), model: model.into(), difference })
    }

    fn difference(self, base: Vocabulary<'_>) -> Option<String> {
        for (found, expected) in
            [(base.pieces.len(), self.pieces.len()), (base.n_logits, self.n_logits)]
        {
            if found != expected {
                return Some(format!("{found} tokens, not {expected}"));
            }
        }
        let mut pairs = base.pieces.iter().zip(self.pieces).enumerate();
        let (id, (found, expected)) = pairs.find(|(_, (found, expected))| found != expected)?;
        Some(format!("token {id} is {found:?}, not {expected:?}"))
    }

    /// SHA-256 over the length (u64, little-endian) and the bytes of each piece.
    pub(super) fn digest(self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for piece in self.pieces {
            hasher.update((piece.len() as u64).to_le_bytes());
            hasher.update(piece);
        }
        hasher.finalize().into()
    }
}
