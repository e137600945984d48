//! Text to tokens and back, by the vocabulary that the model's own file carries.
//!
//! Two kinds of vocabulary are read, checked by [`Vocabulary::from_metadata`]: SentencePiece's
//! (`tokenizer.ggml.model` = `llama`: Mixtral, Mistral 7B) and byte-level ones (`gpt2`: SmolLM2,
//! Llama 3). Special tokens are cut out first, then `sentencepiece` or `byte_level` encodes the
//! text between them; [`TextStream`] is the way back. [`ChatTemplate`] makes prompts of conversations.

mod bpe;
mod byte_level;
mod chat;
mod error;
pub(crate) mod keys;
mod kinds;
mod pre_tokenizer;
mod scores;
mod sentencepiece;
mod specials;
mod stream;
mod vocabulary;

pub use chat::{ChatError, ChatTemplate, Date, Message, Origin, Prompt};
pub use error::TokenizerError;
pub use pre_tokenizer::PreTokenizer;
pub(crate) use sentencepiece::{SPACE, byte_of};
pub use specials::Specials;
pub use stream::{TextBytes, TextStream};
pub use vocabulary::{Algorithm, PieceKind, Vocabulary};

use crate::gguf::Metadata;
use byte_level::{ByteLevel, Speller};
use sentencepiece::SentencePiece;
use specials::{Fragment, SpecialTokens};

/// What SentencePiece writes for the unknown token.
const UNKNOWN_TEXT: &str = " \u{2047} ";

/// The tokenizer of a model.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    model: Model,
    specials: SpecialTokens,
    texts: Texts,
}

enum Model {
    SentencePiece(SentencePiece),
    ByteLevel(Box<ByteLevel>),
}

impl Tokenizer {
    /// The tokenizer that a file's keys `tokenizer.ggml.*` describe.
    pub fn from_metadata(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::new(Vocabulary::from_metadata(metadata)?)
    }

    /// The tokenizer of a vocabulary.
    pub fn new(vocabulary: Vocabulary) -> Result<Tokenizer, TokenizerError> {
        let model = match &vocabulary.algorithm {
            Algorithm::SentencePiece { scores, adds_space_prefix } => {
                Model::SentencePiece(SentencePiece::new(&vocabulary, scores, *adds_space_prefix)?)
            }
            Algorithm::ByteLevel { pre_tokenizer, merges } => {
                let model = ByteLevel::new(&vocabulary.pieces, merges, pre_tokenizer)?;
                Model::ByteLevel(Box::new(model))
            }
        };
        let specials = SpecialTokens::new(&vocabulary)?;
        let texts = Texts::new(&vocabulary);
        Ok(Tokenizer { vocabulary, model, specials, texts })
    }

    /// The ids of a text, without BOS.
    ///
    /// SentencePiece vocabularies put a space before a text, and before the text behind a special
    /// token unless it has one already.
    pub fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>, TokenizerError> {
        self.encode_guarded(text, specials, None)
    }

    /// The ids of a prompt that is text and nothing else: the first token, where the model wants
    /// one, and the text's.
    pub fn encode_text(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let mut ids: Vec<u32> = self.first_token().into_iter().collect();
        ids.extend(self.encode(text, Specials::AsText)?);
        Ok(ids)
    }

    /// As [`Tokenizer::encode`], where `guard` keeps the spelling of a control token from being
    /// one, and is itself no part of the text.
    pub(crate) fn encode_guarded(
        &self,
        text: &str,
        specials: Specials,
        guard: Option<char>,
    ) -> Result<Vec<u32>, TokenizerError> {
        let mut ids = Vec::new();
        for (idx, fragment) in self.specials.split(text, specials).into_iter().enumerate() {
            match (fragment, guard) {
                (Fragment::Token(id), _) => ids.push(id),
                (Fragment::Text(text), None) => self.append_text(text, idx == 0, &mut ids)?,
                (Fragment::Text(text), Some(guard)) => {
                    self.append_text(&text.replace(guard, ""), idx == 0, &mut ids)?;
                }
            }
        }
        Ok(ids)
    }

    fn append_text(
        &self,
        text: &str,
        is_first: bool,
        ids: &mut Vec<u32>,
    ) -> Result<(), TokenizerError> {
        match &self.model {
            Model::SentencePiece(model) => {
                model.encode(text, is_first || !text.starts_with(' '), ids);
                Ok(())
            }
            Model::ByteLevel(model) => model.encode(text, ids),
        }
    }

    /// The text of tokens: what [`Tokenizer::encode`] would have made them of. Control tokens have
    /// none; bytes that are not UTF-8, and ids beyond the vocabulary, become U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut stream = TextStream::from_start(self);
        let mut text: String = ids.iter().map(|&id| stream.push(id)).collect();
        text.push_str(&stream.finish());
        text
    }

    /// What was read otherwise than the file says it, or may be lost: a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.vocabulary.notes
    }

    /// How many tokens there are.
    pub fn n_vocab(&self) -> usize {
        self.vocabulary.pieces.len()
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.vocabulary.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.vocabulary.eos
    }

    /// Whether a prompt begins with BOS.
    pub fn adds_bos(&self) -> bool {
        self.vocabulary.adds_bos
    }

    /// The token that begins a prompt, where the model wants one.
    pub fn first_token(&self) -> Option<u32> {
        self.bos().filter(|_| self.adds_bos())
    }

    /// Whether the model has no more to say after this token: EOS, the end of a turn or message.
    pub fn ends_generation(&self, id: u32) -> bool {
        self.vocabulary.ends.contains(&id)
    }

    /// A token's piece as the file spells it, or none if the id is beyond the vocabulary.
    pub fn piece(&self, id: u32) -> Option<&str> {
        self.vocabulary.pieces.get(id as usize).map(String::as_str)
    }

    /// Whether there is a token with this piece, of whatever kind.
    pub(crate) fn has_piece(&self, piece: &str) -> bool {
        self.vocabulary.pieces.iter().any(|known| known == piece)
    }

    /// Whether texts are preceded by a space.
    pub(crate) fn adds_space_prefix(&self) -> bool {
        matches!(&self.model, Model::SentencePiece(model) if model.adds_space_prefix())
    }

    /// Whether a text spells a control token.
    pub(crate) fn spells_control_token(&self, text: &str) -> bool {
        self.specials.spelled_in(text)
    }

    /// The text with `guard` put into each control token that it spells.
    pub(crate) fn guard_control_tokens(&self, text: &str, guard: char) -> String {
        self.specials.guarded(text, guard)
    }

    /// The bytes that a token adds to a text.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        self.texts.get(id).unwrap_or("\u{FFFD}".as_bytes())
    }

    /// Whether this token, at the start of a text, begins with the space put before it.
    fn begins_with_prefix_space(&self, id: u32) -> bool {
        // A control token may be spelled like one, and adds no bytes.
        let is_spelled_so = self.piece(id).is_some_and(|piece| piece.starts_with(SPACE));
        self.adds_space_prefix() && is_spelled_so && self.bytes(id).starts_with(b" ")
    }
}

/// The bytes of all tokens, one behind the other.
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    fn new(vocabulary: &Vocabulary) -> Texts {
        let mut texts =
            Texts { bytes: Vec::new(), ends: Vec::with_capacity(vocabulary.pieces.len()) };
        let speller = Speller::new();
        for (piece, &kind) in vocabulary.pieces.iter().zip(&vocabulary.kinds) {
            match (&vocabulary.algorithm, kind) {
                (_, PieceKind::Control) => {}
                (Algorithm::SentencePiece { .. }, _) => texts.push_sentencepiece(piece, kind),
                (Algorithm::ByteLevel { .. }, PieceKind::UserDefined) => {
                    texts.bytes.extend_from_slice(piece.as_bytes());
                }
                (Algorithm::ByteLevel { .. }, _) => texts.bytes.extend(speller.bytes(piece)),
            }
            texts.ends.push(texts.bytes.len());
        }
        texts
    }

    fn push_sentencepiece(&mut self, piece: &str, kind: PieceKind) {
        match (kind, byte_of(piece)) {
            (PieceKind::Unknown, _) => self.bytes.extend_from_slice(UNKNOWN_TEXT.as_bytes()),
            (PieceKind::Byte, Some(byte)) => self.bytes.push(byte),
            _ => self.bytes.extend_from_slice(piece.replace(SPACE, " ").as_bytes()),
        }
    }

    fn get(&self, id: u32) -> Option<&[u8]> {
        let idx = id as usize;
        let end = *self.ends.get(idx)?;
        let start = if idx == 0 { 0 } else { self.ends[idx - 1] };
        Some(&self.bytes[start..end])
    }
}
