//! Schemas, regular expressions and grammars become constraints of answers.
//!
//! [`Grammars`] belongs to a vocabulary and compiles a [`Source`]; the [`Grammar`] goes into any
//! number of requests:
//!
//! ```
//! use gatefold::engine::Request;
//! use gatefold::grammar::{Grammars, Source};
//! use gatefold::sampler::Sampling;
//! use std::sync::Arc;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (_folder, path) = gatefold_fixtures::tiny_model::Model::with_merged_experts().write();
//! # let model = gatefold::LanguageModel::open(&path)?;
//! let grammars = Grammars::new(&model.tokenizer)?;
//! let grammar = grammars.compile(&Source::Regex("a( a)*".into()))?;
//! let prompt = model.tokenizer.encode_text("a a")?;
//! let request = Request {
//!     constraint: Some(Arc::new(grammar)),
//!     ..Request::new(prompt, Sampling::default())
//! };
//! # Ok(())
//! # }
//! ```
//!
//! The package llguidance does the work: derivatives of regular expressions as lexer, Earley's
//! algorithm as parser, a trie of the vocabulary (`vocabulary`). Its limits count steps, not seconds,
//! and each answer has a state of its own (`state`), so that what is allowed depends on the grammar and
//! the answer alone. Of a JSON Schema it passes over what it does not know; [`schema`](Source) says what
//! is enforced, and refuses the rest.

mod disjoint;
mod formats;
mod gbnf;
mod keywords;
mod lark;
mod multiples;
mod pattern;
mod reason;
mod schema;
mod state;
mod together;
mod vocabulary;
mod workers;

use crate::constraint::{Constrained, Constraint};
use crate::text::printable;
use crate::tokenizer::Tokenizer;
use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use llguidance::{Matcher, ParserFactory};
use reason::{TOO_COMPLEX, reason};
use serde_json::Value;
use state::State;
use std::fmt;
use std::sync::Arc;
use thiserror::Error;
use vocabulary::{Spellings, Vocabulary};
use workers::{PATIENCE, WorkError, Workers};

/// Stands in keys of results for what else decides on what a grammar allows.
pub const GRAMMARS_REVISION: &str = "llguidance 1.9.1, 3";

/// Bytes of a source: grammars are written by people, and enumerations have some thousand words.
const MOST_SOURCE_BYTES: usize = 256 << 10;

/// Rules of a grammar: compiling takes time as the square of their number.
const MOST_RULES: usize = 4_000;

/// Brackets within brackets.
const MOST_NESTING: usize = 100;

/// What answers are to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Instances of a JSON Schema, draft 2020-12 or what older ones have in common with it.
    JsonSchema(Value),
    /// Texts that match a regular expression, in the syntax of the package regex, as a whole.
    Regex(String),
    /// Texts of a grammar in Lark's notation, as llguidance has it; they begin with its rule `start`.
    Lark(String),
    /// Texts of a grammar in llama.cpp's notation; they begin with its rule `root`.
    Gbnf(String),
}

impl Source {
    /// One of these texts.
    pub fn choice<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Source {
        let escaped: Vec<String> =
            texts.into_iter().map(|text| regex::escape(text.as_ref())).collect();
        Source::Regex(escaped.join("|"))
    }

    /// A grammar that is either GBNF, which has its rules as `name ::= ...`, or Lark's.
    pub fn grammar(text: String) -> Source {
        match gbnf::is_gbnf(&text) {
            true => Source::Gbnf(text),
            false => Source::Lark(text),
        }
    }

    /// Any JSON object.
    pub fn json_object() -> Source {
        Source::JsonSchema(serde_json::json!({"type": "object"}))
    }

    /// What it says, to stand in keys: two sources with the same text are the same.
    pub fn text(&self) -> String {
        match self {
            Source::JsonSchema(schema) => format!("schema {schema}"),
            Source::Regex(regex) => format!("regex {regex}"),
            Source::Lark(grammar) => format!("lark {grammar}"),
            Source::Gbnf(grammar) => format!("gbnf {grammar}"),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Source::JsonSchema(_) => "JSON Schema",
            Source::Regex(_) => "regular expression",
            Source::Lark(_) | Source::Gbnf(_) => "grammar",
        }
    }
}

/// Why answers cannot be held to what a source says.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// A part of a JSON Schema is not enforced, or is wrong.
    #[error("{} of the JSON Schema {}", printable(place), printable(problem))]
    Schema {
        /// Where it is: `#/properties/name/not`.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A line of a grammar is not understood, or asks for what is not enforced.
    #[error("line {line} of the grammar {}", printable(problem))]
    Line {
        /// Which, from 1 on.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The source is larger than sources may be.
    #[error("the {kind} {problem}")]
    TooLarge {
        /// What it is.
        kind: &'static str,
        /// What was found, and what may be.
        problem: String,
    },
    /// Others are compiled, and there is no place for one more.
    #[error("the {kind} was not looked at, since others take long; try again later")]
    Busy {
        /// What it is.
        kind: &'static str,
    },
    /// The source takes too long to be understood.
    #[error("the {kind} was not understood within {seconds} s: {TOO_COMPLEX}")]
    TooComplex {
        /// What it is.
        kind: &'static str,
        /// How long that was tried.
        seconds: u64,
    },
    /// The source cannot be understood, or nothing is allowed by it.
    #[error("the {kind} cannot be enforced: {reason}")]
    Refused {
        /// What it is.
        kind: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// The vocabulary cannot be used.
    #[error("answers of this vocabulary cannot be held to a form: {reason}")]
    Vocabulary {
        /// Why.
        reason: String,
    },
}

/// Compiles grammars for one vocabulary, which takes a moment to be looked through.
pub struct Grammars {
    vocabulary: Arc<Vocabulary>,
    workers: Workers,
}

impl Grammars {
    /// For this vocabulary.
    ///
    /// # Errors
    /// If the vocabulary cannot be used.
    pub fn new(tokenizer: &Tokenizer) -> Result<Grammars, GrammarError> {
        let vocabulary = Vocabulary::new(tokenizer)
            .map_err(|error| GrammarError::Vocabulary { reason: reason(error) })?;
        Ok(Grammars { vocabulary: Arc::new(vocabulary), workers: Workers::new(PATIENCE) })
    }

    /// The constraint that a source describes.
    ///
    /// # Errors
    /// If it is wrong, too large, or says what is not enforced.
    pub fn compile(&self, source: &Source) -> Result<Grammar, GrammarError> {
        let (kind, source) = (source.kind(), source.clone());
        let vocabulary = Arc::clone(&self.vocabulary);
        let compile = move || {
            let grammar = top_level(&source)?;
            let compiled = compiled(&vocabulary, &grammar, kind);
            compiled.map_err(|reason| GrammarError::Refused { kind, reason })
        };
        self.workers.run(compile).unwrap_or_else(|undone| {
            Err(match undone {
                WorkError::Busy => GrammarError::Busy { kind },
                WorkError::Late => GrammarError::TooComplex { kind, seconds: PATIENCE.as_secs() },
                WorkError::Failed => GrammarError::Refused { kind, reason: TOO_COMPLEX.to_owned() },
            })
        })
    }
}

impl fmt::Debug for Grammars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammars").finish_non_exhaustive()
    }
}

/// A grammar for a vocabulary.
fn compiled(
    vocabulary: &Vocabulary,
    grammar: &TopLevelGrammar,
    kind: &'static str,
) -> Result<Grammar, String> {
    let Vocabulary { factory, first } = vocabulary;
    let of_first = |(factory, spellings): &(ParserFactory, Arc<Spellings>)| {
        Ok::<_, String>((matcher(factory, grammar.clone())?, Arc::clone(spellings)))
    };
    Ok(Grammar {
        pristine: matcher(factory, grammar.clone())?,
        first: first.as_ref().map(of_first).transpose()?,
        kind,
    })
}

/// A grammar before its first token.
fn matcher(factory: &ParserFactory, grammar: TopLevelGrammar) -> Result<Matcher, String> {
    let mut matcher = Matcher::new(Ok(factory.create_parser(grammar).map_err(reason)?));
    // What allows nothing at all is seen now.
    matcher.compute_mask_or_eos().map_err(reason)?;
    Ok(matcher)
}

/// A grammar, compiled for a vocabulary.
pub struct Grammar {
    /// Before the first token.
    pristine: Matcher,
    /// The same for first tokens, where these are read otherwise.
    first: Option<(Matcher, Arc<Spellings>)>,
    kind: &'static str,
}

impl Constraint for Grammar {
    fn begin(&self, is_own_text: bool) -> Box<dyn Constrained> {
        // What one answer finds out of the grammar would change what is left of another's limits.
        let first = self.first.as_ref().filter(|_| is_own_text);
        let first = first.map(|(matcher, spellings)| (matcher.deep_clone(), Arc::clone(spellings)));
        Box::new(State::new(self.pristine.deep_clone(), first))
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grammar").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The grammar in a form that llguidance understands.
fn top_level(source: &Source) -> Result<TopLevelGrammar, GrammarError> {
    let kind = source.kind();
    let text = match source {
        Source::JsonSchema(schema) => &schema.to_string(),
        Source::Regex(text) | Source::Lark(text) | Source::Gbnf(text) => text,
    };
    if text.len() > MOST_SOURCE_BYTES {
        let problem = format!("has {} bytes; expected {MOST_SOURCE_BYTES} at most", text.len());
        return Err(GrammarError::TooLarge { kind, problem });
    }
    if !matches!(source, Source::JsonSchema(_)) && nesting(text) > MOST_NESTING {
        let problem = format!("nests brackets deeper than {MOST_NESTING}");
        return Err(GrammarError::TooLarge { kind, problem });
    }
    let grammar = match source {
        Source::JsonSchema(schema) => GrammarWithLexer::from_json_schema(schema::enforced(schema)?),
        Source::Regex(regex) => GrammarWithLexer::from_regex(regex),
        Source::Lark(grammar) => {
            lark::check(grammar)?;
            GrammarWithLexer::from_lark(grammar.clone())
        }
        Source::Gbnf(grammar) => GrammarWithLexer::from_lark(gbnf::to_lark(grammar)?),
    };
    let lark = grammar.lark_grammar.as_deref().unwrap_or_default();
    if lark::n_rules(lark) > MOST_RULES {
        let problem = format!("has more than {MOST_RULES} rules");
        return Err(GrammarError::TooLarge { kind, problem });
    }
    Ok(TopLevelGrammar::from_grammar(grammar))
}

/// How deep brackets are within brackets, at most: also those that are only quoted count.
fn nesting(text: &str) -> usize {
    let (mut depth, mut most) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        most = most.max(depth);
    }
    most
}
