//! How byte-level vocabularies cut a text into pre-tokens, across which nothing is merged.
//!
//! A pre-tokenizer is a sequence of cuts, each of which goes through the pieces that the ones
//! before it left. `table` has those that are known, as they are published, `splitter` runs them,
//! and `guess` knows some vocabularies whose files name none.

mod guess;
mod splitter;
mod table;

use splitter::LEAVES_LAST_BLANK;
pub(super) use splitter::Splitter;
use table::{GPT2, PRE_TOKENIZERS, PUNCTUATION};

/// A way to cut texts, known by the names that `tokenizer.ggml.pre` has for it.
#[derive(Debug)]
pub struct PreTokenizer {
    names: &'static [&'static str],
    cuts: &'static [Cut],
    /// A pre-token that is a piece is that piece, even if merges would not lead there.
    pub ignores_merges: bool,
    /// Whether a prompt begins with BOS where the file does not say.
    pub adds_bos: bool,
}

/// A cut through each piece that the cuts before it left.
#[derive(Debug)]
enum Cut {
    /// What a published pattern matches is a piece, and what lies between the matches.
    Matches(&'static str),
    /// A piece of numbers alone is cut into digits by three, counted from the end. The pattern that
    /// looks ahead for this counts decimal digits; here what stands beside them (`8½`) counts too.
    DigitsByThree,
    /// A piece of blanks alone, without a line break at its end, is cut into powers of two: the
    /// largest that fits, up to 512, comes first.
    BlanksByPowersOfTwo,
}

impl PreTokenizer {
    /// The one that `tokenizer.ggml.pre` names.
    pub fn named(name: &str) -> Option<&'static PreTokenizer> {
        PRE_TOKENIZERS.iter().find(|pre_tokenizer| pre_tokenizer.names.contains(&name))
    }

    /// GPT-2's, for files that name none.
    pub(super) fn plain() -> &'static PreTokenizer {
        PreTokenizer::named("gpt-2").expect("the table begins with it")
    }

    /// The one whose cuts are the matches of these patterns, one after the other, spelled as any
    /// file may spell them. Of two that cut alike, one that ignores merges comes first.
    pub(crate) fn defined_by(patterns: &[&str]) -> Option<&'static PreTokenizer> {
        let patterns: Vec<String> = patterns.iter().map(|pattern| canonical(pattern)).collect();
        PRE_TOKENIZERS.iter().find(|pre_tokenizer| {
            let known = pre_tokenizer.cuts.iter().map(|cut| match cut {
                Cut::Matches(pattern) => Some(canonical(pattern)),
                Cut::DigitsByThree | Cut::BlanksByPowersOfTwo => None,
            });
            known.eq(patterns.iter().cloned().map(Some))
        })
    }

    /// The pattern of GPT-2, which `tokenizers` has built in.
    pub(crate) const BUILT_IN_PATTERN: &'static str = GPT2;

    /// The pattern of punctuation, which `tokenizers` has built in.
    pub(crate) const PUNCTUATION_PATTERN: &'static str = PUNCTUATION;

    /// Whether a pattern is one of those published for tiktoken, whose matches are all of a text.
    pub(crate) fn matches_all(pattern: &str) -> bool {
        pattern.ends_with(LEAVES_LAST_BLANK)
    }

    /// Its name in `tokenizer.ggml.pre`.
    pub(crate) fn name(&self) -> &'static str {
        self.names[0]
    }

    /// The names of all, for people: one of each.
    pub fn names() -> String {
        let names =
            PRE_TOKENIZERS.iter().map(|pre_tokenizer| format!("`{}`", pre_tokenizer.name()));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Ready to cut.
    pub(super) fn compile(&self) -> Splitter {
        Splitter::new(self.cuts)
    }
}

/// A pattern in the spelling by which patterns are compared. Possessive repetitions only keep an
/// engine from looking back in vain: in the patterns that are known, what follows a repetition
/// begins with none of its characters.
fn canonical(pattern: &str) -> String {
    let mut spelled = pattern.replace('\r', r"\r").replace('\n', r"\n");
    for repetition in ["?", "+", "*"] {
        spelled = spelled.replace(&format!("{repetition}+"), repetition);
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::{PRE_TOKENIZERS, PreTokenizer};
    use serde::Deserialize;
    use std::collections::{HashMap, HashSet};

    /// A text and the lengths of its pre-tokens in characters, by the name of the pre-tokenizer.
    #[derive(Deserialize)]
    struct Expected {
        text: String,
        lengths: HashMap<String, Vec<usize>>,
    }

    fn lengths(pre_tokenizer: &PreTokenizer, text: &str) -> Vec<usize> {
        let mut lengths = Vec::new();
        let cut = pre_tokenizer.compile().split(text, &mut |piece: &str| {
            lengths.push(piece.chars().count());
            Ok::<(), ()>(())
        });
        cut.unwrap();
        lengths
    }

    #[test]
    fn cuts_are_those_of_hugging_face() {
        let fixture = include_str!("../../../tests/fixtures/pre_tokenizers/cuts.json");
        let all: Vec<Expected> = serde_json::from_str(fixture).unwrap();
        assert!(all.len() > 150);
        let mut named = HashSet::new();
        for Expected { text, lengths: expected } in &all {
            for (names, expected) in expected {
                for name in names.split(' ') {
                    let pre_tokenizer = PreTokenizer::named(name).expect(name);
                    assert_eq!(&lengths(pre_tokenizer, text), expected, "{name}: {text:?}");
                    named.insert(pre_tokenizer.name());
                }
            }
        }
        let known: HashSet<_> = PRE_TOKENIZERS.iter().map(PreTokenizer::name).collect();
        assert_eq!(named, known);
    }

    /// What would take a backtracking engine, or one that looks far ahead at every step, hours.
    #[test]
    fn long_runs_take_linear_time() {
        for pre_tokenizer in &PRE_TOKENIZERS {
            for unit in [" ", "\n", "a", "A", "1", "!", "日", "\u{301}", " a", "\n ", "1a"] {
                let text = unit.repeat((1 << 18) / unit.len());
                let n_chars = lengths(pre_tokenizer, &text).into_iter().sum::<usize>();
                assert_eq!(n_chars, text.chars().count());
            }
        }
    }

    #[test]
    fn every_name_leads_to_one_way_to_cut() {
        let mut seen = HashSet::new();
        for pre_tokenizer in &PRE_TOKENIZERS {
            for name in pre_tokenizer.names {
                let is_new = seen.insert(*name);
                assert!(is_new || *name == "deepseek-llm", "{name}");
            }
        }
    }
}
