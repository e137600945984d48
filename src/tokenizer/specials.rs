//! Finding special tokens in a text.

use super::error::TokenizerError;
use super::manner::Manner;
use super::sentencepiece::{SPACE, spelled};
use super::spaces::AddSpace;
use super::vocabulary::{Algorithm, PieceKind, Vocabulary};
use regex::{Regex, RegexBuilder};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::LazyLock;

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
    /// Those that are cut out of a text first, and those that are cut out of what is left.
    plain: [Cutter; 2],
    /// Those that are found once spaces are spelled as U+2581.
    spelled: Cutter,
    /// Matches control tokens.
    control: Option<Regex>,
}

impl SpecialTokens {
    pub(super) fn new(vocabulary: &Vocabulary) -> Result<SpecialTokens, TokenizerError> {
        // Where all text is normalized by putting a space before it, that is so with tokens too.
        let puts_spaces = matches!(&vocabulary.algorithm, Algorithm::SentencePiece { spaces, .. }
            if spaces.behind_tokens == AddSpace::Always);
        let mut sorted = [const { Vec::new() }; 3];
        let mut control = Vec::new();
        for (id, (piece, &kind)) in (0..).zip(vocabulary.pieces.iter().zip(&vocabulary.kinds)) {
            let is_control = match kind {
                PieceKind::UserDefined => false,
                PieceKind::Control | PieceKind::Unknown => true,
                _ => continue,
            };
            if piece.is_empty() {
                continue;
            }
            if is_control {
                control.push(piece.as_str());
            }
            let manner = vocabulary.manners.get(&id).copied().unwrap_or_default();
            let (spelling, idx) = match manner {
                Manner { symbol: true, .. } => (spelled(piece), 2),
                Manner { normalized: true, .. } if puts_spaces => {
                    (format!("{SPACE}{}", spelled(piece)), 2)
                }
                Manner { normalized, .. } => (piece.clone(), usize::from(normalized)),
            };
            sorted[idx].push((spelling, Token { id, is_control, manner }));
        }
        let [first, second, in_spelling] = sorted;
        Ok(SpecialTokens {
            plain: [Cutter::new(first)?, Cutter::new(second)?],
            spelled: Cutter::new(in_spelling)?,
            control: matcher(control)?,
        })
    }

    /// Cuts a text at its special tokens.
    pub(super) fn split<'a>(&self, text: &'a str, specials: Specials) -> Vec<Fragment<'a>> {
        let [first, second] = &self.plain;
        let fragments = first.split(text, specials).into_iter();
        let cut_again = fragments.flat_map(|fragment| match fragment {
            Fragment::Text(text) => second.split(text, specials),
            token @ Fragment::Token(_) => vec![token],
        });
        cut_again.collect()
    }

    /// Cuts a stretch without others, whose spaces are spelled as U+2581, at those that are found
    /// there.
    pub(super) fn split_spelled<'a>(
        &self,
        spelled: &'a str,
        specials: Specials,
    ) -> Vec<Fragment<'a>> {
        self.spelled.split(spelled, specials)
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

/// A special token.
#[derive(Clone, Copy)]
struct Token {
    id: u32,
    is_control: bool,
    manner: Manner,
}

/// Cuts tokens out of texts.
struct Cutter {
    /// By their spelling.
    tokens: HashMap<String, Token>,
    /// Matches user-defined pieces, which are tokens wherever they occur.
    user_defined: Option<Regex>,
    /// Matches control tokens too, the longest first.
    all: Option<Regex>,
}

impl Cutter {
    /// Of tokens of one spelling the first counts.
    fn new(spelled: Vec<(String, Token)>) -> Result<Cutter, TokenizerError> {
        let mut tokens = HashMap::new();
        for (spelling, token) in spelled {
            tokens.entry(spelling).or_insert(token);
        }
        let spellings = |with_control: bool| {
            let wanted = tokens.iter().filter(move |(_, token)| with_control || !token.is_control);
            wanted.map(|(spelling, _)| spelling.as_str()).collect()
        };
        let (user_defined, all) = (matcher(spellings(false))?, matcher(spellings(true))?);
        Ok(Cutter { user_defined, all, tokens })
    }

    /// Cuts a text at its tokens; the leftmost counts, and the longest of those.
    fn split<'a>(&self, text: &'a str, specials: Specials) -> Vec<Fragment<'a>> {
        let matcher = match specials {
            Specials::Parse => &self.all,
            Specials::AsText => &self.user_defined,
        };
        let mut fragments = Vec::new();
        let mut end = 0;
        for found in matcher.iter().flat_map(|matcher| matcher.find_iter(text)) {
            let Token { id, manner, .. } = self.tokens[found.as_str()];
            let (before, behind) = (&text[..found.start()], &text[found.end()..]);
            let mut neighbours = [before.chars().next_back(), behind.chars().next()].into_iter();
            let is_in_word = manner.single_word && neighbours.any(|c| c.is_some_and(is_of_word));
            if is_in_word || found.start() < end {
                continue;
            }
            let start = if manner.lstrip { before.trim_end().len() } else { before.len() };
            fragments.extend(non_empty(&text[end..start.max(end)]));
            fragments.push(Fragment::Token(id));
            let rest = if manner.rstrip { behind.trim_start() } else { behind };
            end = text.len() - rest.len();
        }
        fragments.extend(non_empty(&text[end..]));
        fragments
    }
}

/// Whether a character is one of words, as regular expressions see it.
fn is_of_word(c: char) -> bool {
    static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\w").expect("it is constant"));
    WORD.is_match(c.encode_utf8(&mut [0; 4]))
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
