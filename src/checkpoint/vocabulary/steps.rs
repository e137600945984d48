//! The steps of a pipeline in `tokenizer.json`: normalizers, pre-tokenizers and post-processors.

use crate::checkpoint::error::VocabularyProblem;
use crate::text::shortened;
use crate::tokenizer::PreTokenizer;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// What can be converted.
const SUPPORTED: &str = "tokenizers of type BPE, either of Llama's kind (spaces become U+2581, bytes are the fallback) or byte-level ones with a published pre-tokenizer (GPT-2's, Llama 3's, Qwen 2's, DeepSeek's, Mistral's tekken, ...)";

/// A step of any type: the fields by which the types that matter here differ, and no others.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Step {
    /// `Sequence`, `Split`, `ByteLevel`, ...
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(alias = "pretokenizers", alias = "processors")]
    normalizers: Few<Step>,
    pub pattern: Option<Pattern>,
    pub content: Option<String>,
    pub behavior: Option<String>,
    pub invert: Option<bool>,
    pub individual_digits: Option<bool>,
    pub add_prefix_space: Option<bool>,
    pub use_regex: Option<bool>,
    pub prepend: Option<String>,
    pub replacement: Option<String>,
    pub prepend_scheme: Option<String>,
    pub split: Option<bool>,
    pub single: Few<TemplatePart>,
}

/// What a step looks for.
#[derive(Deserialize)]
pub(super) enum Pattern {
    String(String),
    Regex(String),
}

/// A part of what goes around a text: the text itself, or a token.
#[derive(Deserialize)]
pub(super) struct TemplatePart {
    #[serde(rename = "SpecialToken")]
    special_token: Option<TemplateToken>,
}

#[derive(Deserialize)]
struct TemplateToken {
    id: String,
}

impl TemplatePart {
    /// The token's text, if it is one.
    pub(super) fn token(&self) -> Option<&str> {
        self.special_token.as_ref().map(|token| token.id.as_str())
    }
}

impl Step {
    /// The steps that this one consists of.
    pub(super) fn flat(&self) -> Vec<&Step> {
        match self.kind.as_str() {
            "Sequence" => self.normalizers.0.iter().flat_map(Step::flat).collect(),
            _ => vec![self],
        }
    }

    /// Whether it replaces one string by another.
    pub(super) fn replaces(&self, from: &str, to: &str) -> bool {
        matches!(&self.pattern, Some(Pattern::String(pattern)) if pattern == from)
            && self.content.as_deref() == Some(to)
    }

    /// The regular expression whose matches it makes pre-tokens of, each by itself.
    ///
    /// tiktoken's patterns are also published as the matches that remain when all else is removed.
    /// They match all of a text, so that this is the same.
    pub(super) fn cut_pattern(&self) -> Option<&str> {
        match (self.kind.as_str(), self.behavior.as_deref(), &self.pattern) {
            ("Split", Some("Isolated"), Some(Pattern::Regex(regex))) => Some(regex),
            ("Split", Some("Removed"), Some(Pattern::Regex(regex)))
                if self.invert == Some(true) && PreTokenizer::matches_all(regex) =>
            {
                Some(regex)
            }
            ("Digits", _, _) if self.individual_digits == Some(true) => Some(r"\p{N}"),
            ("Digits", _, _) => Some(r"\p{N}+"),
            ("Punctuation", None | Some("Isolated"), _) => Some(PreTokenizer::PUNCTUATION_PATTERN),
            _ => None,
        }
    }
}

/// The steps before a model, for a message.
pub(super) fn describe(normalizer: &[&Step], pre_tokenizer: &[&Step]) -> String {
    let list = |steps: &[&Step]| {
        let names: Vec<String> = steps.iter().map(|step| name(step)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" + ") }
    };
    format!("the normalizer {} and the pre-tokenizer {}", list(normalizer), list(pre_tokenizer))
}

fn name(step: &Step) -> String {
    match &step.pattern {
        Some(Pattern::String(pattern) | Pattern::Regex(pattern)) => {
            format!("{} `{}`", shortened(&step.kind), shortened(pattern))
        }
        None => shortened(&step.kind),
    }
}

/// A list that is short in all files that make sense: its items take more memory than their text.
pub(super) struct Few<T>(pub Vec<T>);

impl<T> Few<T> {
    const MOST: usize = 64;
}

impl<T> Default for Few<T> {
    fn default() -> Few<T> {
        Few(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Few<T>, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Few<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {}", Few::<T>::MOST)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Few<T>, A::Error> {
                let mut few = Few::default();
                while let Some(item) = items.next_element()? {
                    if few.0.len() == Few::<T>::MOST {
                        return Err(A::Error::invalid_length(few.0.len() + 1, &self));
                    }
                    few.0.push(item);
                }
                Ok(few)
            }
        }
        deserializer.deserialize_seq(List(PhantomData))
    }
}

/// The error of a tokenizer that does what a GGUF cannot say: `found`.
pub(super) fn unsupported(found: String) -> VocabularyProblem {
    VocabularyProblem::Unsupported { found, supported: SUPPORTED }
}
