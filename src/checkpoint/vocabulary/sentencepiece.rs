//! `tokenizer.model`: SentencePiece's own file, a protocol buffer of type `ModelProto`
//! (<https://github.com/google/sentencepiece>, `src/sentencepiece_model.proto`).

use super::definition::{Algorithm, Definition, Piece, Pieces, SpecialIds};
use super::protobuf::{Message, Value};
use crate::checkpoint::error::VocabularyProblem;
use crate::text::shortened;
use crate::tokenizer::{Manner, PieceKind, Spaces};

const SUPPORTED: &str = "SentencePiece models of type BPE that leave the text as it is";

/// What tiktoken's files begin with: the base64 of the first token, its id.
const TIKTOKEN: &[u8] = b"IQ== 0\n";

/// What the model says of its training and of the texts it wants.
struct Specs {
    model_type: u64,
    ids: SpecialIds,
    spaces_behind_words: bool,
    normalizer: String,
    rewrites_characters: bool,
    adds_space_prefix: bool,
    removes_extra_spaces: bool,
    escapes_spaces: bool,
}

/// The defaults of the protocol buffer, for what a file leaves out.
impl Default for Specs {
    fn default() -> Specs {
        Specs {
            model_type: 1,
            ids: SpecialIds { bos: Some(1), eos: Some(2), unknown: Some(0), padding: None },
            spaces_behind_words: false,
            normalizer: String::new(),
            rewrites_characters: false,
            adds_space_prefix: true,
            removes_extra_spaces: true,
            escapes_spaces: true,
        }
    }
}

/// Whether a file is a vocabulary of tiktoken, which Meta gives the same name.
pub(super) fn is_tiktoken(bytes: &[u8]) -> bool {
    bytes.starts_with(TIKTOKEN)
}

/// Reads a model for `n_vocab` embeddings.
pub(super) fn read(bytes: &[u8], n_vocab: usize) -> Result<Definition, VocabularyProblem> {
    if is_tiktoken(bytes) {
        return Err(VocabularyProblem::Tiktoken);
    }
    let mut pieces = Pieces::new(n_vocab)?;
    let mut specs = Specs::default();
    let model = Message::new(bytes);
    pieces.expect(messages(model, 1).count() as u64)?;
    for (id, piece) in (0..).zip(messages(model, 1)) {
        pieces.insert(id, read_piece(piece?)?)?;
    }
    if pieces.get(0).is_none() {
        return Err(model.malformed("no piece"));
    }
    for trainer in messages(model, 2) {
        specs.read_trainer(trainer?)?;
    }
    for normalizer in messages(model, 3) {
        specs.read_normalizer(normalizer?)?;
    }
    specs.check()?;
    Ok(Definition {
        algorithm: Algorithm::SentencePiece,
        pieces,
        ids: specs.ids,
        spaces: Spaces::by_default(specs.adds_space_prefix),
    })
}

/// The messages that a message holds under a number.
fn messages(
    message: Message<'_>,
    wanted: u64,
) -> impl Iterator<Item = Result<Message<'_>, VocabularyProblem>> {
    message.filter_map(move |field| match field {
        Ok((number, Value::Bytes(inner))) if number == wanted => Some(Ok(inner)),
        Ok((number, _)) if number == wanted => {
            Some(Err(message.malformed("something else than a message")))
        }
        Ok(_) => None,
        Err(problem) => Some(Err(problem)),
    })
}

fn read_piece(message: Message<'_>) -> Result<Piece, VocabularyProblem> {
    let (text, manner) = (String::new(), Manner::default());
    let mut piece = Piece { text, kind: PieceKind::Normal, manner, score: 0.0 };
    for field in message {
        match field? {
            (1, Value::Bytes(text)) => piece.text = read_text(text)?,
            (2, Value::Fixed32(bytes)) => piece.score = f32::from_le_bytes(bytes),
            (3, Value::Varint(number)) => {
                let kind = i64::try_from(number).ok().and_then(PieceKind::by_number);
                piece.kind = kind.ok_or_else(|| message.malformed("a piece of unknown type"))?;
                piece.manner.symbol = piece.kind == PieceKind::UserDefined;
            }
            (1..=3, _) => return Err(message.malformed("a piece with a field of another type")),
            _ => {}
        }
    }
    Ok(piece)
}

fn read_text(message: Message<'_>) -> Result<String, VocabularyProblem> {
    let text = std::str::from_utf8(message.bytes());
    text.map(str::to_owned).map_err(|_| message.malformed("text that is not UTF-8"))
}

impl Specs {
    fn read_trainer(&mut self, message: Message<'_>) -> Result<(), VocabularyProblem> {
        for field in message {
            // Negative ids, which say that there is no such token, come as huge ones.
            let id = |id: u64| u32::try_from(id).ok().map(u64::from);
            match field? {
                (3, Value::Varint(model_type)) => self.model_type = model_type,
                (24, Value::Varint(flag)) => self.spaces_behind_words = flag != 0,
                (40, Value::Varint(unknown)) => self.ids.unknown = id(unknown),
                (41, Value::Varint(bos)) => self.ids.bos = id(bos),
                (42, Value::Varint(eos)) => self.ids.eos = id(eos),
                (43, Value::Varint(padding)) => self.ids.padding = id(padding),
                _ => {}
            }
        }
        Ok(())
    }

    fn read_normalizer(&mut self, message: Message<'_>) -> Result<(), VocabularyProblem> {
        for field in message {
            match field? {
                (1, Value::Bytes(name)) => self.normalizer = read_text(name)?,
                (2, Value::Bytes(map)) => self.rewrites_characters = !map.bytes().is_empty(),
                (3, Value::Varint(flag)) => self.adds_space_prefix = flag != 0,
                (4, Value::Varint(flag)) => self.removes_extra_spaces = flag != 0,
                (5, Value::Varint(flag)) => self.escapes_spaces = flag != 0,
                _ => {}
            }
        }
        Ok(())
    }

    /// Refuses what a GGUF cannot say of a tokenizer: texts would get other ids.
    fn check(&self) -> Result<(), VocabularyProblem> {
        let found = match self.model_type {
            2 if self.rewrites_characters => {
                format!("the normalizer {}", shortened(&self.normalizer))
            }
            2 if self.removes_extra_spaces => "a normalizer that removes extra spaces".into(),
            2 if !self.escapes_spaces => "spaces that are not spelled as U+2581".into(),
            2 if self.spaces_behind_words => "spaces at the end of words".into(),
            2 => return Ok(()),
            1 => "the model type unigram".into(),
            3 => "the model type word".into(),
            4 => "the model type char".into(),
            other => format!("the model type {other}"),
        };
        Err(VocabularyProblem::Unsupported { found, supported: SUPPORTED })
    }
}
