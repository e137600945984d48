//! Finding special tokens in a text.

use super::error::TokenizerError;
use super::vocabulary::{PieceKind, Vocabulary};
use regex::{Regex, RegexBuilder};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Bound on the memory of a compiled matcher, in bytes. The 1000 special tokens of the richest
/// vocabularies take a hundredth.
const MATCHER_BYTES: usize = 1 << 25;

/// What the spelling of a control token in a text, like `</s>`, means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Specials {
    /// The token.
    Parse,
    /// Text like any other, so that a text from outside cannot steer the model.
    AsText,
}

/// A stretch of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fragment<'a> {
    /// Text without special tokens.
    Text(&'a str),
    /// A special token.
    Token(u32),
}

/// The special tokens of a vocabulary.
pub(super) struct SpecialTokens {
    ids: HashMap<String, u32>,
    /// Matches user-defined pieces, which are tokens wherever they occur.
    user_defined: Option<Regex>,
    /// Matches control tokens.
    control: Option<Regex>,
    /// Matches both, the longest first.
    all: Option<Regex>,
}

impl SpecialTokens {
    pub(super) fn new(vocabulary: &Vocabulary) -> Result<SpecialTokens, TokenizerError> {
        let mut ids = HashMap::new();
        let (mut user_defined, mut control) = (vec![], vec![]);
        for (id, (piece, kind)) in (0..).zip(vocabulary.pieces.iter().zip(&vocabulary.kinds)) {
            let list = match kind {
                PieceKind::UserDefined => &mut user_defined,
                PieceKind::Control | PieceKind::Unknown => &mut control,
                _ => continue,
            };
            if !piece.is_empty() && !ids.contains_key(piece) {
                ids.insert(piece.clone(), id);
                list.push(piece.as_str());
            }
        }
        let all = [user_defined.as_slice(), control.as_slice()].concat();
        Ok(SpecialTokens {
            ids,
            user_defined: matcher(user_defined)?,
            control: matcher(control)?,
            all: matcher(all)?,
        })
    }

    /// Cuts a text at its special tokens; the leftmost counts, and the longest of those.
    pub(super) fn split<'a>(&self, text: &'a str, specials: Specials) -> Vec<Fragment<'a>> {
        let matcher = match specials {
            Specials::Parse => &self.all,
            Specials::AsText => &self.user_defined,
        };
        let mut fragments = Vec::new();
        let mut end = 0;
        for found in matcher.iter().flat_map(|matcher| matcher.find_iter(text)) {
            fragments.extend(non_empty(&text[end..found.start()]));
            fragments.push(Fragment::Token(self.ids[found.as_str()]));
            end = found.end();
        }
        fragments.extend(non_empty(&text[end..]));
        fragments
    }

    /// Whether a text spells a control token.
    pub(super) fn spelled_in(&self, text: &str) -> bool {
        self.control.as_ref().is_some_and(|control| control.is_match(text))
    }

    /// The text with `guard` put into each control token that it spells, which is then none.
    pub(super) fn guarded(&self, text: &str, guard: char) -> String {
        let Some(control) = &self.control else { return text.to_owned() };
        let guarded = control.replace_all(text, |found: &regex::Captures| {
            found[0].chars().flat_map(|c| [c, guard]).collect::<String>()
        });
        guarded.into_owned()
    }
}

fn non_empty(text: &str) -> Option<Fragment<'_>> {
    (!text.is_empty()).then_some(Fragment::Text(text))
}

/// Matches any of the pieces, the longest that there is.
fn matcher(mut pieces: Vec<&str>) -> Result<Option<Regex>, TokenizerError> {
    if pieces.is_empty() {
        return Ok(None);
    }
    pieces.sort_by_key(|piece| Reverse(piece.len()));
    let alternatives: Vec<String> = pieces.into_iter().map(regex::escape).collect();
    RegexBuilder::new(&alternatives.join("|"))
        .size_limit(MATCHER_BYTES)
        .build()
        .map(Some)
        .map_err(|error| TokenizerError::Specials { reason: error.to_string() })
}
