//! Tokens that were added to a vocabulary after it was trained: the marks of chat formats, mostly.

use super::definition::{Piece, Pieces};
use super::settings::spelling;
use crate::checkpoint::error::{CheckpointError, Problem, VocabularyProblem};
use crate::checkpoint::folder::Folder;
use crate::checkpoint::json::JsonObject;
use crate::tokenizer::{Manner, PieceKind};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;

/// A token that is cut out of texts before the vocabulary sees them.
#[derive(Deserialize)]
pub(super) struct AddedToken {
    pub id: u64,
    pub content: String,
    /// Whether it steers the model and is no text.
    #[serde(default)]
    pub special: bool,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    /// By default all but special ones are.
    normalized: Option<bool>,
}

impl AddedToken {
    /// A token that nothing else is said of.
    fn new(id: u64, content: &str, special: bool) -> AddedToken {
        let content = content.to_owned();
        let (single_word, lstrip, rstrip, normalized) = (false, false, false, None);
        AddedToken { id, content, special, single_word, lstrip, rstrip, normalized }
    }

    /// Puts the token in its place. Where the vocabulary has it there already, as more than text,
    /// it knows best what the token is, but not how it is found.
    pub(super) fn add_to(&self, pieces: &mut Pieces) -> Result<(), VocabularyProblem> {
        let known = pieces
            .get(self.id)
            .filter(|piece| piece.text == self.content && piece.kind != PieceKind::Normal);
        let (kind, score) =
            known.map_or((self.kind(), Piece::NEVER_MERGED), |piece| (piece.kind, piece.score));
        let (text, manner) = (self.content.clone(), self.manner());
        pieces.replace(self.id, Piece { text, kind, manner, score })
    }

    fn manner(&self) -> Manner {
        Manner {
            lstrip: self.lstrip,
            rstrip: self.rstrip,
            single_word: self.single_word,
            normalized: self.normalized.unwrap_or(!self.special),
            symbol: false,
        }
    }

    /// Marks like `<|im_start|>` count as control tokens even where they are not called special:
    /// what a message says must not turn into them.
    fn kind(&self) -> PieceKind {
        let is_mark = self.content.starts_with("<|") && self.content.ends_with("|>");
        if self.special || is_mark { PieceKind::Control } else { PieceKind::UserDefined }
    }
}

/// Adds the tokens that the files beside the tokenizer's list: `added_tokens.json`, then
/// `tokenizer_config.json`, whose word counts where they differ.
pub(super) fn add_listed(
    folder: &Folder,
    tokenizer_config: &JsonObject,
    special_tokens_map: &JsonObject,
    pieces: &mut Pieces,
) -> Result<(), CheckpointError> {
    let listed = folder.settings("added_tokens.json")?;
    let special = named_special(tokenizer_config, special_tokens_map);
    for (content, id) in listed.iter() {
        let id = id.as_u64().ok_or_else(|| listed.refuse(content, "an id"))?;
        let token = AddedToken::new(id, content, special.contains(content));
        token.add_to(pieces).map_err(|problem| Problem::from(problem).at(listed.path()))?;
    }
    for token in decoder(tokenizer_config)? {
        token
            .add_to(pieces)
            .map_err(|problem| Problem::from(problem).at(tokenizer_config.path()))?;
    }
    Ok(())
}

/// The tokens of `added_tokens_decoder`, an object from ids to descriptions.
fn decoder(tokenizer_config: &JsonObject) -> Result<Vec<AddedToken>, CheckpointError> {
    const KEY: &str = "added_tokens_decoder";
    let Some(decoder) = tokenizer_config.get(KEY) else { return Ok(vec![]) };
    let token = |(id, description): (&String, &Value)| {
        let id = id.parse().ok()?;
        let content = spelling(description)?;
        let flag = |name| description.get(name).and_then(Value::as_bool);
        let is = |name| flag(name).unwrap_or(false);
        Some(AddedToken {
            single_word: is("single_word"),
            lstrip: is("lstrip"),
            rstrip: is("rstrip"),
            normalized: flag("normalized"),
            ..AddedToken::new(id, content, is("special"))
        })
    };
    let tokens = decoder.as_object().and_then(|tokens| tokens.iter().map(token).collect());
    tokens.ok_or_else(|| tokenizer_config.refuse(KEY, "an object from ids to tokens"))
}

/// The tokens that settings give a role: `eos_token`, `additional_special_tokens`, ...
fn named_special<'s>(
    tokenizer_config: &'s JsonObject,
    special_tokens_map: &'s JsonObject,
) -> HashSet<&'s str> {
    let roles = tokenizer_config.iter().chain(special_tokens_map.iter());
    let tokens = roles.filter_map(|(role, tokens)| match role {
        _ if role.ends_with("_token") => Some(std::slice::from_ref(tokens)),
        _ if role.ends_with("_special_tokens") => tokens.as_array().map(Vec::as_slice),
        _ => None,
    });
    tokens.flatten().filter_map(spelling).collect()
}
