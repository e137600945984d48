//! A tokenizer as the file that defines it has it: the common form of `tokenizer.model` and
//! `tokenizer.json`.

use crate::checkpoint::error::VocabularyProblem;
use crate::text::shortened;
use crate::tokenizer::{
    Manner, PieceKind, Spaces, belong_together, note_on_left_out, note_on_padding, padding_piece,
};
use std::collections::{BTreeMap, HashSet};

/// A tokenizer, before what the files beside its own say.
pub(super) struct Definition {
    pub algorithm: Algorithm,
    pub pieces: Pieces,
    pub ids: SpecialIds,
    /// Where text is preceded by a space.
    pub spaces: Spaces,
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
    /// How it is found in a text.
    pub manner: Manner,
    /// Pieces of a higher score are merged first.
    pub score: f32,
}

/// The pieces by id, all of which are below the number of the model's embeddings.
pub(super) struct Pieces {
    by_id: BTreeMap<u32, Piece>,
    n_vocab: usize,
    /// Tokens whose ids are not.
    left_out: BTreeMap<u64, String>,
}

impl Pieces {
    /// The largest vocabulary that is believed; the largest published has a sixteenth of that.
    const MOST: usize = 1 << 22;

    /// None yet, for a model with embeddings for `n_vocab` tokens.
    pub(super) fn new(n_vocab: usize) -> Result<Pieces, VocabularyProblem> {
        match n_vocab {
            1..=Pieces::MOST => {
                Ok(Pieces { by_id: BTreeMap::new(), n_vocab, left_out: BTreeMap::new() })
            }
            _ => Err(VocabularyProblem::ModelSize { n_vocab, most: Pieces::MOST }),
        }
    }

    /// Adds the piece of an id that has none yet.
    pub(super) fn insert(&mut self, id: u64, piece: Piece) -> Result<(), VocabularyProblem> {
        match self.get(id) {
            None => self.replace(id, piece),
            Some(first) => Err(VocabularyProblem::SameId {
                id,
                first: shortened(&first.text),
                second: shortened(&piece.text),
            }),
        }
    }

    /// Adds the piece of an id, in place of the one it had; where the model has no embedding for it,
    /// it is left out.
    pub(super) fn replace(&mut self, id: u64, piece: Piece) -> Result<(), VocabularyProblem> {
        self.expect(id.saturating_add(1))?;
        match u32::try_from(id) {
            Ok(id) if (id as usize) < self.n_vocab => drop(self.by_id.insert(id, piece)),
            _ => drop(self.left_out.insert(id, piece.text)),
        }
        Ok(())
    }

    /// Refuses a tokenizer with far more tokens than the model has embeddings.
    pub(super) fn expect(&self, n_tokens: u64) -> Result<(), VocabularyProblem> {
        if n_tokens <= self.n_vocab as u64 { Ok(()) } else { self.check(n_tokens) }
    }

    /// Refuses one with far fewer, once it is complete.
    pub(super) fn check_number(&self) -> Result<(), VocabularyProblem> {
        let last = self.by_id.last_key_value().map_or(0, |(&id, _)| u64::from(id));
        self.check(last + 1)
    }

    fn check(&self, n_tokens: u64) -> Result<(), VocabularyProblem> {
        let n_vocab = self.n_vocab;
        match usize::try_from(n_tokens).is_ok_and(|found| belong_together(found, n_vocab)) {
            true => Ok(()),
            false => Err(VocabularyProblem::OtherModel { n_tokens, n_vocab }),
        }
    }

    /// What is to be known of the tokens that were left out, and of embeddings that have none.
    pub(super) fn notes(&self) -> Vec<String> {
        let left_out = self.left_out.iter().map(|(&id, text)| (id, text.as_str()));
        let n_padding = self.n_vocab - self.by_id.len();
        note_on_left_out(left_out).into_iter().chain(note_on_padding(n_padding)).collect()
    }

    /// The merges, two pieces with a space between them each, that speak of no token which was left
    /// out.
    pub(super) fn known_merges(&self, mut merges: Vec<String>) -> Vec<String> {
        if !self.left_out.is_empty() {
            let known: HashSet<&str> = self.iter().map(|piece| piece.text.as_str()).collect();
            merges.retain(|merge| {
                let joined = merge.replacen(' ', "", 1);
                merge.split(' ').chain([joined.as_str()]).all(|piece| known.contains(piece))
            });
        }
        merges
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
                text: padding_piece(id),
                kind: PieceKind::Unused,
                manner: Manner::default(),
                score: Piece::NEVER_MERGED,
            })
        })
    }
}

impl Piece {
    /// The score of pieces that merges do not make: below that of all that they do.
    pub(super) const NEVER_MERGED: f32 = -1e9;
}
