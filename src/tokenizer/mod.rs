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
pub(crate) mod manner;
mod pre_tokenizer;
mod rows;
mod scores;
mod sentencepiece;
mod spaces;
mod specials;
mod stream;
mod vocabulary;

pub use chat::{ChatError, ChatTemplate, Date, FunctionCall, Message, Origin, Prompt, ToolCall};
pub use error::TokenizerError;
pub use manner::Manner;
pub use pre_tokenizer::PreTokenizer;
#[cfg(feature = "checkpoints")]
pub(crate) use rows::{belong_together, note_on_left_out, note_on_padding, padding_piece};
pub(crate) use sentencepiece::{SPACE, byte_of};
pub use spaces::{AddSpace, Spaces};
pub use specials::Specials;
pub use stream::{TextBytes, TextStream};
pub use vocabulary::{Algorithm, PieceKind, Vocabulary};

use crate::architecture::{Architecture, Role};
use crate::gguf::{Gguf, Metadata};
use byte_level::{ByteLevel, Speller};
use sentencepiece::SentencePiece;
use specials::{Fragment, SpecialTokens};
use std::borrow::Cow;
use std::sync::Arc;

/// What SentencePiece writes for the unknown token.
const UNKNOWN_TEXT: &str = " \u{2047} ";

/// The tokenizer of a model.
pub struct Tokenizer {
    vocabulary: Vocabulary,
    model: Model,
    specials: SpecialTokens,
    texts: Texts,
    padding: Arc<[u32]>,
}

enum Model {
    SentencePiece(SentencePiece),
    ByteLevel(Box<ByteLevel>),
}

impl Tokenizer {
    /// The tokenizer of a file, whose ids are those that its model has embeddings for.
    ///
    /// # Errors
    /// If the file has no usable vocabulary, or that of another model.
    pub fn from_gguf(gguf: &Gguf) -> Result<Tokenizer, TokenizerError> {
        let metadata = gguf.metadata();
        let architecture = Architecture::of(metadata)?;
        let embedding = architecture.and_then(|architecture| architecture.tensor(Role::Embedding));
        let embedding = embedding.and_then(|spec| gguf.tensor(&spec.name(0)));
        let n_rows = embedding.and_then(|tensor| tensor.shape.first().copied());
        Tokenizer::new(Vocabulary::from_metadata(metadata, n_rows)?)
    }

    /// The tokenizer that a file's keys `tokenizer.ggml.*` describe.
    ///
    /// # Errors
    /// If they describe none.
    pub fn from_metadata(metadata: &Metadata) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::new(Vocabulary::from_metadata(metadata, None)?)
    }

    /// The tokenizer of a vocabulary.
    pub fn new(vocabulary: Vocabulary) -> Result<Tokenizer, TokenizerError> {
        let model = match &vocabulary.algorithm {
            Algorithm::SentencePiece { scores, spaces } => {
                Model::SentencePiece(SentencePiece::new(&vocabulary, scores, *spaces)?)
            }
            Algorithm::ByteLevel { pre_tokenizer, merges } => {
                let model = ByteLevel::new(&vocabulary.pieces, merges, pre_tokenizer)?;
                Model::ByteLevel(Box::new(model))
            }
        };
        let specials = SpecialTokens::new(&vocabulary)?;
        let texts = Texts::new(&vocabulary);
        let padding = vocabulary.padding().into();
        Ok(Tokenizer { vocabulary, model, specials, texts, padding })
    }

    /// The ids of a text, without BOS.
    ///
    /// SentencePiece vocabularies put a space before a text, and before the text behind a special
    /// token unless it has one already, if the file does not say it otherwise ([`Spaces`]).
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
            match (fragment, &self.model) {
                (Fragment::Token(id), _) => ids.push(id),
                (Fragment::Text(text), Model::ByteLevel(model)) => {
                    model.encode(&without(guard, text), &mut ids)?;
                }
                (Fragment::Text(text), Model::SentencePiece(model)) => {
                    let spelled = model.spell(text, idx == 0);
                    for fragment in self.specials.split_spelled(&spelled, specials) {
                        match fragment {
                            Fragment::Token(id) => ids.push(id),
                            Fragment::Text(text) => model.encode(&without(guard, text), &mut ids),
                        }
                    }
                }
            }
        }
        Ok(ids)
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

    /// The ids that no answer may have, ascending: they stand for embeddings without a token.
    pub fn padding(&self) -> &Arc<[u32]> {
        &self.padding
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

    /// The bytes that a token adds to an answer. It has none if it is no text: a control token, the
    /// unknown one, one that ends answers or is never produced.
    #[cfg(feature = "grammars")]
    pub(crate) fn answer_bytes(&self, id: u32) -> &[u8] {
        let kind = self.vocabulary.kinds.get(id as usize);
        let is_text =
            matches!(kind, Some(PieceKind::Normal | PieceKind::UserDefined | PieceKind::Byte));
        let is_left_out = self.ends_generation(id) || self.padding.binary_search(&id).is_ok();
        if is_text && !is_left_out { self.bytes(id) } else { &[] }
    }

    /// The tokens after which a model has no more to say, ascending.
    #[cfg(feature = "grammars")]
    pub(crate) fn ends(&self) -> Vec<u32> {
        let mut ends: Vec<u32> = self.vocabulary.ends.iter().copied().collect();
        ends.sort_unstable();
        ends
    }

    /// Whether this token, at the start of a text, begins with the space put before it.
    pub(crate) fn begins_with_prefix_space(&self, id: u32) -> bool {
        // A control token may be spelled like one, and adds no bytes.
        let is_spelled_so = self.piece(id).is_some_and(|piece| piece.starts_with(SPACE));
        self.adds_space_prefix() && is_spelled_so && self.bytes(id).starts_with(b" ")
    }
}

/// A text without its guards.
fn without(guard: Option<char>, text: &str) -> Cow<'_, str> {
    match guard {
        Some(guard) => text.replace(guard, "").into(),
        None => text.into(),
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
