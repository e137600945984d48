//! Kinds of tokens, by what they are in a text.

use crate::tokenizer::Tokenizer;
use serde::Serialize;

/// What a token is in its text. What has white space before it goes by the first character behind
/// that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Letters, with a space before them or behind what is neither letter nor digit.
    WordStart,
    /// Letters that go on with a word.
    WordPart,
    /// Digits, perhaps with more behind them.
    Digit,
    /// Signs that are no letters, digits or white space.
    Punctuation,
    /// White space inside of a line.
    Space,
    /// White space with the end of a line in it, and nothing behind that.
    LineBreak,
    /// White space at the beginning of a line, as code has it.
    Indent,
    /// Parts of characters, and control tokens.
    Other,
}

impl TokenKind {
    /// All kinds, by their index.
    pub const ALL: [TokenKind; 8] = [
        TokenKind::WordStart,
        TokenKind::WordPart,
        TokenKind::Digit,
        TokenKind::Punctuation,
        TokenKind::Space,
        TokenKind::LineBreak,
        TokenKind::Indent,
        TokenKind::Other,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            TokenKind::WordStart => "word start",
            TokenKind::WordPart => "word part",
            TokenKind::Digit => "digit",
            TokenKind::Punctuation => "punctuation",
            TokenKind::Space => "space",
            TokenKind::LineBreak => "line break",
            TokenKind::Indent => "indent",
            TokenKind::Other => "other",
        }
    }
}

/// Tells the kinds of a text's tokens, one after the other.
pub struct TokenKinds<'t> {
    tokenizer: &'t Tokenizer,
    last: Option<char>,
    /// Whether nothing but white space has come since the last line break.
    is_line_start: bool,
}

impl<'t> TokenKinds<'t> {
    /// For a text of which nothing has come.
    pub fn new(tokenizer: &'t Tokenizer) -> TokenKinds<'t> {
        TokenKinds { tokenizer, last: None, is_line_start: false }
    }

    /// The kind of the next token.
    pub fn next(&mut self, id: u32) -> TokenKind {
        self.of(self.tokenizer.bytes(id))
    }

    fn of(&mut self, bytes: &[u8]) -> TokenKind {
        let Ok(text) = str::from_utf8(bytes) else { return self.ends_in(None, TokenKind::Other) };
        let Some(last) = text.chars().next_back() else { return TokenKind::Other };
        let kind = match text.trim_start().chars().next() {
            None if last == '\n' => TokenKind::LineBreak,
            None if text.contains('\n') || self.is_line_start => TokenKind::Indent,
            None => TokenKind::Space,
            Some(first) if first.is_alphabetic() => {
                let is_apart = text.starts_with(char::is_whitespace);
                let goes_on = !is_apart && self.last.is_some_and(char::is_alphanumeric);
                if goes_on { TokenKind::WordPart } else { TokenKind::WordStart }
            }
            Some(first) if first.is_numeric() => TokenKind::Digit,
            Some(_) => TokenKind::Punctuation,
        };
        self.ends_in(Some(last), kind)
    }

    fn ends_in(&mut self, last: Option<char>, kind: TokenKind) -> TokenKind {
        self.last = last;
        self.is_line_start = match kind {
            TokenKind::Space => self.is_line_start,
            kind => matches!(kind, TokenKind::LineBreak | TokenKind::Indent) || last == Some('\n'),
        };
        kind
    }
}

#[cfg(test)]
mod tests {
    use super::TokenKind::{
        Digit, Indent, LineBreak, Other, Punctuation, Space, WordPart, WordStart,
    };
    use super::*;
    use gatefold_fixtures::tiny_model::Model;

    #[test]
    fn kinds_go_by_what_came_before() {
        let (_folder, path) = Model::with_merged_experts().write();
        let language = crate::LanguageModel::open(&path).unwrap();
        let mut kinds = TokenKinds::new(&language.tokenizer);
        for (text, kind) in [
            ("if", WordStart),
            (" ", Space),
            ("(", Punctuation),
            ("x", WordStart),
            ("2", Digit),
            ("nd", WordPart),
            (" 3", Digit),
            ("):", Punctuation),
            ("\n", LineBreak),
            ("  ", Indent),
            ("  ", Indent),
            ("return", WordStart),
            ("ed", WordPart),
            ("\n\t", Indent),
            ("y", WordStart),
            ("  ", Space),
            ("\u{e4}", WordStart),
            ("", Other),
            ("-", Punctuation),
            ("a", WordStart),
        ] {
            assert_eq!(kinds.of(text.as_bytes()), kind, "{text:?}");
        }
        assert_eq!(kinds.of(b"\xc3"), Other);
        let names: Vec<_> = TokenKind::ALL.iter().map(|kind| *kind as usize).collect();
        assert_eq!(names, (0..TokenKind::ALL.len()).collect::<Vec<_>>());
    }
}
