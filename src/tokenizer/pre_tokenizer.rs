//! How byte-level vocabularies cut a text into pre-tokens, across which nothing is merged.
//!
//! The published patterns end in `\s+(?!\S)|\s+`: a run of whitespace leaves its last character to
//! the word that follows. The lookahead would need a backtracking engine, which gives up on long
//! runs; the patterns here end in `\s+`, [`PreTokens`] shortens such a match instead, and the time
//! stays linear in the text.

use regex::Regex;

/// A way to cut texts, known by the names that `tokenizer.ggml.pre` has for it.
#[derive(Debug)]
pub struct PreTokenizer {
    names: &'static [&'static str],
    pattern: &'static str,
    /// Digits are cut out first, one by one, and the pattern sees what lies between them.
    isolates_digits: bool,
    /// The pattern takes whitespace up to a newline as a pre-token of its own.
    ends_at_newlines: bool,
    /// A pre-token that is a piece is that piece, even if merges would not lead there.
    pub ignores_merges: bool,
    /// Whether a prompt begins with BOS where the file does not say.
    pub adds_bos: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+";

static PRE_TOKENIZERS: [PreTokenizer; 5] = [
    PreTokenizer {
        names: &["gpt-2", "default"],
        pattern: GPT2,
        isolates_digits: false,
        ends_at_newlines: false,
        ignores_merges: false,
        adds_bos: false,
    },
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "command-r"],
        pattern: GPT2,
        isolates_digits: true,
        ends_at_newlines: false,
        ignores_merges: false,
        adds_bos: false,
    },
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3"],
        pattern: LLAMA3,
        isolates_digits: false,
        ends_at_newlines: true,
        ignores_merges: true,
        adds_bos: true,
    },
    PreTokenizer {
        names: &["qwen2", "deepseek-r1-qwen"],
        pattern: QWEN2,
        isolates_digits: false,
        ends_at_newlines: true,
        ignores_merges: false,
        adds_bos: false,
    },
    PreTokenizer {
        names: &["tekken"],
        pattern: TEKKEN,
        isolates_digits: false,
        ends_at_newlines: true,
        ignores_merges: true,
        adds_bos: true,
    },
];

impl PreTokenizer {
    /// The one that `tokenizer.ggml.pre` names.
    pub fn named(name: &str) -> Option<&'static PreTokenizer> {
        PRE_TOKENIZERS.iter().find(|pre_tokenizer| pre_tokenizer.names.contains(&name))
    }

    /// The one that cuts out digits or not, and has this published pattern; none is GPT-2's.
    pub(crate) fn defined_by(
        pattern: Option<&str>,
        isolates_digits: bool,
    ) -> Option<&'static PreTokenizer> {
        let pattern = match pattern {
            Some(published) => published.strip_suffix(r"(?!\S)|\s+")?,
            None => GPT2,
        };
        PRE_TOKENIZERS.iter().find(|pre_tokenizer| {
            pre_tokenizer.pattern == pattern && pre_tokenizer.isolates_digits == isolates_digits
        })
    }

    /// Its name in `tokenizer.ggml.pre`.
    pub(crate) fn name(&self) -> &'static str {
        self.names[0]
    }

    /// All names, for people.
    pub fn names() -> String {
        let names: Vec<String> = PRE_TOKENIZERS
            .iter()
            .flat_map(|pre_tokenizer| pre_tokenizer.names)
            .map(|name| format!("`{name}`"))
            .collect();
        names.join(", ")
    }

    /// Ready to cut.
    pub(super) fn compile(&'static self) -> Splitter {
        let pattern = Regex::new(self.pattern).expect("the patterns of this file are valid");
        Splitter { rules: self, pattern }
    }
}

/// A pre-tokenizer with its pattern compiled.
pub(super) struct Splitter {
    rules: &'static PreTokenizer,
    pattern: Regex,
}

impl Splitter {
    /// The pre-tokens of a text, in order; together they are the text.
    pub(super) fn split<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let isolates_digits = self.rules.isolates_digits;
        let stretches = text
            .split_inclusive(move |c: char| isolates_digits && c.is_numeric())
            .flat_map(move |stretch| match stretch.chars().next_back() {
                Some(last) if isolates_digits && last.is_numeric() => {
                    let (before, digit) = stretch.split_at(stretch.len() - last.len_utf8());
                    [before, digit]
                }
                _ => [stretch, ""],
            });
        stretches.flat_map(|rest| PreTokens { splitter: self, rest })
    }
}

/// The pre-tokens of a stretch of text.
struct PreTokens<'a> {
    splitter: &'a Splitter,
    rest: &'a str,
}

impl PreTokens<'_> {
    /// Where the first pre-token of the rest ends.
    fn end_of_first(&self) -> usize {
        let Some(found) = self.splitter.pattern.find(self.rest) else { return self.rest.len() };
        if found.start() > 0 {
            return found.start();
        }
        let Some(last) = found.as_str().chars().next_back() else { return self.rest.len() };
        let newline = self.splitter.rules.ends_at_newlines && matches!(last, '\r' | '\n');
        let is_blank_run = last.is_whitespace() && !newline;
        let leaves_last =
            is_blank_run && found.end() < self.rest.len() && found.len() > last.len_utf8();
        if leaves_last { found.end() - last.len_utf8() } else { found.end() }
    }
}

impl<'a> Iterator for PreTokens<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (first, rest) = self.rest.split_at(self.end_of_first());
        self.rest = rest;
        Some(first)
    }
}
