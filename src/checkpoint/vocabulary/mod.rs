//! A checkpoint's tokenizer files, as the metadata of a GGUF.
//!
//! 1. What defines the tokenizer becomes a `definition`: `tokenizer.model` where there is one
//!    (`sentencepiece`, in the wire format of `protobuf`), else `tokenizer_json`.
//! 2. Tokens that were added later take their places (`added`).
//! 3. The files beside it say which tokens are `special`, and how conversations are written
//!    (`chat_template`).
//!
//! What metadata cannot say of a tokenizer is refused, so that a text has the same ids before and
//! after. Keys of gatefold's own say what a GGUF of other programs does not: where spaces are put
//! before text, and how added tokens are found in it. One thing is not looked at, as it changes ids
//! in rare texts alone: normalization to NFC.

mod added;
mod byte_level;
mod chat_template;
mod definition;
mod merges;
mod protobuf;
mod sentencepiece;
mod settings;
mod special;
mod steps;
mod tokenizer_json;

pub use super::error::VocabularyProblem;

use super::error::CheckpointError;
use super::folder::Folder;
use super::json::JsonObject;
use crate::gguf::{Array, Metadata, Value};
use crate::tokenizer::{Manner, PieceKind, SPACE, Spaces, Tokenizer, keys, manner};
use definition::{Algorithm, Definition};
use special::{Beside, Special};
use tokenizer_json::Outline;

const TOKENIZER_JSON: &str = "tokenizer.json";

/// Sets `tokenizer.*` in `metadata` from the tokenizer files in `folder`; the model has an
/// embedding for `n_vocab` tokens. Returns what there is to know of the tokenizer, a sentence each.
///
/// # Errors
/// If there is no tokenizer that can be converted, or one of its files is damaged.
pub fn read(
    folder: &Folder,
    n_vocab: usize,
    metadata: &mut Metadata,
) -> Result<Vec<String>, CheckpointError> {
    let beside = Beside::read(folder)?;
    let (file, mut definition, outline) = define(folder, n_vocab)?;
    let config = &beside.tokenizer_config;
    added::add_listed(folder, config, &beside.special_tokens_map, &mut definition.pieces)?;
    let too_few = |problem| folder.problem_of(&file, problem);
    definition.pieces.check_number().map_err(too_few)?;
    let special = beside.special(&definition, outline.as_ref())?;
    if matches!(definition.algorithm, Algorithm::SentencePiece) {
        definition.spaces = spaces(&definition, outline.as_ref(), config)?;
    }
    let mut notes = definition.pieces.notes();
    set(metadata, definition, &special);
    chat_template::read(folder, config, metadata)?;
    let unusable = |error| folder.problem_of(&file, VocabularyProblem::Unusable(error));
    let tokenizer = Tokenizer::from_metadata(metadata).map_err(unusable)?;
    notes.extend_from_slice(tokenizer.notes());
    Ok(notes)
}

/// Where the transformers library puts spaces: as `tokenizer.json` says. Where there is none it
/// makes one, in which `legacy` decides what becomes of the text behind a token. `add_prefix_space`
/// overrules both.
fn spaces(
    definition: &Definition,
    outline: Option<&Outline>,
    config: &JsonObject,
) -> Result<Spaces, CheckpointError> {
    let own = definition.spaces;
    let spaces = match (outline.and_then(Outline::spaces), config.bool("legacy")?) {
        (Some(spaces), _) => spaces,
        (None, Some(false)) if own.adds_space_prefix() => Spaces::FIRST,
        (None, Some(true)) if own.adds_space_prefix() => Spaces::EVERYWHERE,
        (None, _) => own,
    };
    Ok(match config.bool("add_prefix_space")? {
        Some(false) => Spaces::NONE,
        Some(true) if !spaces.adds_space_prefix() => Spaces::by_default(true),
        _ => spaces,
    })
}

/// The tokenizer and the name of the file that defines it; with the outline of `tokenizer.json`,
/// whose added tokens are in the definition already.
fn define(
    folder: &Folder,
    n_vocab: usize,
) -> Result<(String, Definition, Option<Outline>), CheckpointError> {
    let in_json = |problem| folder.problem_of(TOKENIZER_JSON, problem);
    let json = folder.bytes(TOKENIZER_JSON)?;
    let outline = json.as_deref().map(Outline::parse).transpose().map_err(in_json)?;
    if let Some(name) = model_name(folder)
        && let Some(bytes) = folder.bytes(name)?
        && !(json.is_some() && sentencepiece::is_tiktoken(&bytes))
    {
        let definition = sentencepiece::read(&bytes, n_vocab);
        let mut definition = definition.map_err(|problem| folder.problem_of(name, problem))?;
        for token in outline.iter().flat_map(|outline| &outline.added_tokens) {
            token.add_to(&mut definition.pieces).map_err(in_json)?;
        }
        return Ok((name.to_owned(), definition, outline));
    }
    if let (Some(json), Some(outline)) = (json, outline) {
        let definition = outline.define(&json, n_vocab).map_err(in_json)?;
        return Ok((TOKENIZER_JSON.to_owned(), definition, Some(outline)));
    }
    Err(folder.problem(match folder.has("tekken.json") {
        true => VocabularyProblem::Tekken,
        false => VocabularyProblem::NoTokenizer,
    }))
}

/// The name of the SentencePiece model, if there is one: Mistral's later releases have a version
/// behind it, `tokenizer.model.v3`, of which the highest counts.
fn model_name(folder: &Folder) -> Option<&str> {
    const NAME: &str = "tokenizer.model";
    if folder.has(NAME) {
        return Some(NAME);
    }
    let is_version = |name: &&str| {
        name.rsplit_once(".model.v").is_some_and(|(stem, _)| {
            stem == "tokenizer" || stem.starts_with("mistral_instruct_tokenizer")
        })
    };
    folder.names().rfind(is_version)
}

fn set(metadata: &mut Metadata, definition: Definition, special: &Special) {
    let is_sentencepiece = matches!(definition.algorithm, Algorithm::SentencePiece);
    let (mut texts, mut scores, mut kinds, mut manners) = (vec![], vec![], vec![], vec![]);
    for (id, mut piece) in (0..).zip(definition.pieces.into_rows()) {
        if is_sentencepiece && piece.kind == PieceKind::UserDefined {
            // These are looked for in a text before its spaces are spelled in another way.
            piece.text = piece.text.replace(SPACE, " ");
        }
        if is_sentencepiece && special.ids.unknown == Some(id) {
            piece.kind = PieceKind::Unknown;
        }
        if piece.manner != Manner::default() {
            manners.push((id as u32, piece.manner));
        }
        texts.push(piece.text);
        scores.push(piece.score);
        kinds.push(piece.kind as i32);
    }
    let string = |string: &str| Value::String(string.to_owned());
    match definition.algorithm {
        Algorithm::SentencePiece => {
            metadata.set(keys::MODEL, string("llama"));
            metadata.set(keys::PRE, string("default"));
            metadata.set(keys::TOKENS, Value::Array(Array::String(texts)));
            metadata.set(keys::SCORES, Value::Array(Array::F32(scores)));
            metadata.set(keys::TOKEN_TYPE, Value::Array(Array::I32(kinds)));
        }
        Algorithm::ByteLevel { pre, merges } => {
            metadata.set(keys::MODEL, string("gpt2"));
            metadata.set(keys::PRE, string(pre));
            metadata.set(keys::TOKENS, Value::Array(Array::String(texts)));
            metadata.set(keys::TOKEN_TYPE, Value::Array(Array::I32(kinds)));
            metadata.set(keys::MERGES, Value::Array(Array::String(merges)));
        }
    }
    let ids = &special.ids;
    let mut ends = special.other_ends.iter().copied();
    for (key, id) in [
        (keys::BOS, ids.bos),
        (keys::EOS, ids.eos),
        (keys::EOT, ends.next()),
        (keys::EOM, ends.next()),
        (keys::UNKNOWN, ids.unknown),
        (keys::PADDING, ids.padding),
    ] {
        if let Some(id) = id {
            metadata.set(key, Value::U32(id as u32));
        }
    }
    metadata.set(keys::ADD_BOS, Value::Bool(special.adds_bos));
    metadata.set(keys::ADD_EOS, Value::Bool(special.adds_eos));
    definition.spaces.set(metadata);
    manner::set(&manners, metadata);
}
