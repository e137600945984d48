//! A tokenizer as the file that defines it has it: the common form of `tokenizer.model` and
//! `tokenizer.json`.

use crate::checkpoint::error::VocabularyProblem;
use crate::text::shortened;
use crate::tokenizer::PieceKind;
use std::collections::BTreeMap;

/// A tokenizer, before what the files beside its own say.
pub(super) struct Definition {
    pub algorithm: Algorithm,
    pub pieces: Pieces,
    pub ids: SpecialIds,
    /// Whether a text is preceded by a space.
    pub adds_space_prefix: bool,
}

/// How text becomes pieces.
pub(super) enum Algorithm {
    /// By the scores of the pieces.
    SentencePiece,
    /// By merges inside of pre-tokens.
    ByteLevel {
        /// The name of the pre-tokenizer in a GGUF.
        pre: &'static str,
        /// Two pieces each, with a space between them; the first is merged first.
        merges: Vec<String>,
    },
}

/// The tokens with a role of their own, as far as they are known.
#[derive(Clone, Copy, Default)]
pub(super) struct SpecialIds {
    pub bos: Option<u64>,
    pub eos: Option<u64>,
    pub unknown: Option<u64>,
    pub padding: Option<u64>,
}

/// A piece of a vocabulary.
#[derive(Clone)]
pub(super) struct Piece {
    pub text: String,
    pub kind: PieceKind,
    /// Pieces of a higher score are merged first.
    pub score: f32,
}

/// The pieces by id, all of which are below the number of the model's embeddings.
pub(super) struct Pieces {
    by_id: BTreeMap<u32, Piece>,
    n_vocab: usize,
}

impl Pieces {
    /// The largest vocabulary that is believed; the largest published has a sixteenth of that.
    const MOST: usize = 1 << 22;

    /// None yet, for a model with embeddings for `n_vocab` tokens.
    pub(super) fn new(n_vocab: usize) -> Result<Pieces, VocabularyProblem> {
        match n_vocab {
            1..=Pieces::MOST => Ok(Pieces { by_id: BTreeMap::new(), n_vocab }),
            _ => Err(VocabularyProblem::ModelSize { n_vocab, most: Pieces::MOST }),
        }
    }

    /// Adds the piece of an id that has none yet.
    pub(super) fn insert(&mut self, id: u64, piece: Piece) -> Result<(), VocabularyProblem> {
        let id = self.checked(id)?;
        match self.by_id.get(&id) {
            None => {
                self.by_id.insert(id, piece);
                Ok(())
            }
            Some(first) => Err(VocabularyProblem::SameId {
                id,
                first: shortened(&first.text),
                second: shortened(&piece.text),
            }),
        }
    }

    /// Adds the piece of an id, in place of the one it had.
    pub(super) fn replace(&mut self, id: u64, piece: Piece) -> Result<(), VocabularyProblem> {
        let id = self.checked(id)?;
        self.by_id.insert(id, piece);
        Ok(())
    }

    fn checked(&self, id: u64) -> Result<u32, VocabularyProblem> {
        match u32::try_from(id) {
            Ok(id) if (id as usize) < self.n_vocab => Ok(id),
            _ => Err(self.too_many(id.saturating_add(1))),
        }
    }

    /// Refuses a tokenizer with more tokens than the model has embeddings.
    pub(super) fn expect(&self, n_tokens: u64) -> Result<(), VocabularyProblem> {
        if n_tokens > self.n_vocab as u64 { Err(self.too_many(n_tokens)) } else { Ok(()) }
    }

    fn too_many(&self, n_tokens: u64) -> VocabularyProblem {
        VocabularyProblem::TooManyTokens { n_tokens, n_vocab: self.n_vocab }
    }

    pub(super) fn get(&self, id: u64) -> Option<&Piece> {
        self.by_id.get(&u32::try_from(id).ok()?)
    }

    /// The first id with this text.
    pub(super) fn id_of(&self, text: &str) -> Option<u64> {
        let found = self.by_id.iter().find(|(_, piece)| piece.text == text);
        found.map(|(&id, _)| id.into())
    }

    /// The pieces.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Piece> {
        self.by_id.values()
    }

    /// The pieces, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Piece> {
        self.by_id.values_mut()
    }

    /// A piece for each embedding. Rows that no token has, which models get where the number of
    /// embeddings is rounded up, are named as the field names them and never produced.
    pub(super) fn into_rows(mut self) -> impl Iterator<Item = Piece> {
        (0..self.n_vocab as u32).map(move |id| {
            self.by_id.remove(&id).unwrap_or_else(|| Piece {
                text: format!("[PAD{id}]"),
                kind: PieceKind::Unused,
                score: Piece::NEVER_MERGED,
            })
        })
    }
}

impl Piece {
    /// The score of pieces that merges do not make: below that of all that they do.
    pub(super) const NEVER_MERGED: f32 = -1e9;
}
