//! How much of a schema meets at one place of an instance.
//!
//! Patterns that describe one text are put together as automata whose states, and whose steps from each,
//! are products of theirs; names that are open are told from all that are not. Limits on both keep
//! compiling short, however the schema spells that they meet.

use super::GrammarError;
use super::disjoint::target;
use super::formats;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Product of the lengths of patterns that describe one text.
const MOST_PATTERNS: u64 = 1 << 22;

/// What a pattern counts, at least: a few of the shortest are as many branches.
const SHORTEST: u64 = 64;

/// Names of an object that may have others beside.
const MOST_OPEN: usize = 300;

/// What meets in an instance of a schema.
#[derive(Clone, Default)]
struct Met {
    /// The lengths of the patterns of the instance, multiplied.
    patterns: u64,
    /// The same of each property, and of what is in it.
    named: HashMap<String, u64>,
    /// The same of everything else that is in it.
    others: u64,
    /// Whether it has no properties but the named.
    is_closed: bool,
}

/// That no more meets than is worth its time.
///
/// # Errors
/// If more does, and where.
pub(super) fn check(root: &Value) -> Result<(), GrammarError> {
    Look { root, known: HashMap::new() }.schema(root, "#").map(drop)
}

struct Look<'s> {
    root: &'s Value,
    /// By references to them. One that is being looked at adds nothing to itself.
    known: HashMap<String, Met>,
}

impl Look<'_> {
    fn schema(&mut self, schema: &Value, place: &str) -> Result<Met, GrammarError> {
        let Some(keywords) = schema.as_object() else { return Ok(Met::nothing()) };
        let mut met = self.alone(keywords, place)?;
        for (idx, schema) in listed(keywords, "allOf") {
            met = met.and(self.schema(schema, &format!("{place}/allOf/{idx}"))?);
        }
        for keyword in ["anyOf", "oneOf"] {
            let mut any: Option<Met> = None;
            for (idx, schema) in listed(keywords, keyword) {
                let next = self.schema(schema, &format!("{place}/{keyword}/{idx}"))?;
                any = Some(match any {
                    Some(any) => any.or(next),
                    None => next,
                });
            }
            met = any.into_iter().fold(met, Met::and);
        }
        if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
            met = met.and(self.referred(reference, schema)?);
        }
        met.checked().map_err(|problem| GrammarError::Schema { place: place.to_owned(), problem })
    }

    fn referred(&mut self, reference: &str, schema: &Value) -> Result<Met, GrammarError> {
        if let Some(known) = self.known.get(reference) {
            return Ok(known.clone());
        }
        self.known.insert(reference.to_owned(), Met::nothing());
        let found = match target(self.root, schema) {
            Some(found) => self.schema(found, reference)?,
            None => Met::nothing(),
        };
        self.known.insert(reference.to_owned(), found.clone());
        Ok(found)
    }

    /// What its keywords say alone, without those that put schemas together.
    fn alone(&mut self, keywords: &Map<String, Value>, place: &str) -> Result<Met, GrammarError> {
        let mut met = Met::nothing();
        let pattern = keywords.get("pattern").and_then(Value::as_str).map(str::len);
        let format = keywords.get("format").and_then(formats::length);
        let lengths = pattern.into_iter().chain(format);
        met.patterns = lengths.fold(1, |all, length| both(all, counted(length)));
        for (name, schema) in named(keywords, "properties") {
            let within = self.schema(schema, &format!("{place}/properties/{name}"))?;
            met.named.insert(name.clone(), within.most());
        }
        let mut names = Vec::new();
        for (name, schema) in named(keywords, "patternProperties") {
            names.push(counted(name.len()));
            let within = self.schema(schema, &format!("{place}/patternProperties/{name}"))?;
            met.others = met.others.max(within.most());
        }
        // Each name is compared with each.
        names.sort_unstable();
        met.others = met.others.max(names.iter().rev().take(2).fold(1, |all, one| both(all, *one)));
        met.is_closed = keywords.get("additionalProperties") == Some(&Value::Bool(false));
        for keyword in ["items", "additionalItems", "additionalProperties"] {
            if let Some(schema) = keywords.get(keyword) {
                let within = self.schema(schema, &format!("{place}/{keyword}"))?;
                met.others = met.others.max(within.most());
            }
        }
        for keyword in ["prefixItems", "items"] {
            for (idx, schema) in listed(keywords, keyword) {
                let within = self.schema(schema, &format!("{place}/{keyword}/{idx}"))?;
                met.others = met.others.max(within.most());
            }
        }
        Ok(met)
    }
}

impl Met {
    fn nothing() -> Met {
        Met { patterns: 1, named: HashMap::new(), others: 1, is_closed: false }
    }

    /// The most that meets anywhere.
    fn most(&self) -> u64 {
        self.named.values().copied().fold(self.patterns.max(self.others), u64::max)
    }

    /// Of an instance of both.
    fn and(self, other: Met) -> Met {
        let (patterns, others) =
            (both(self.patterns, other.patterns), both(self.others, other.others));
        Met {
            is_closed: self.is_closed || other.is_closed,
            patterns,
            ..self.named(other, others, both)
        }
    }

    /// Of an instance of either.
    fn or(self, other: Met) -> Met {
        let (patterns, others) = (self.patterns.max(other.patterns), self.others.max(other.others));
        Met {
            is_closed: self.is_closed && other.is_closed,
            patterns,
            ..self.named(other, others, u64::max)
        }
    }

    /// The properties of two, put together.
    fn named(mut self, mut other: Met, others: u64, together: fn(u64, u64) -> u64) -> Met {
        for (name, within) in &mut self.named {
            *within = together(*within, other.named.remove(name).unwrap_or(other.others));
        }
        let rest = other.named.into_iter().map(|(name, it)| (name, together(it, self.others)));
        self.named.extend(rest);
        Met { others, ..self }
    }

    fn checked(self) -> Result<Met, String> {
        let n_names = self.named.len();
        if self.most() > MOST_PATTERNS {
            return Err("has more patterns, or longer ones, for one text than are enforced together; expected three short ones at most".into());
        }
        match n_names > MOST_OPEN && !self.is_closed {
            true => Err(format!(
                "has {n_names} properties and may have others; expected {MOST_OPEN} at most, or \"additionalProperties\": false"
            )),
            false => Ok(self),
        }
    }
}

/// What a pattern of so many bytes counts.
fn counted(n_bytes: usize) -> u64 {
    (n_bytes as u64).max(SHORTEST)
}

fn both(one: u64, other: u64) -> u64 {
    one.saturating_mul(other)
}

fn listed<'v>(
    keywords: &'v Map<String, Value>,
    keyword: &str,
) -> impl Iterator<Item = (usize, &'v Value)> {
    keywords.get(keyword).and_then(Value::as_array).into_iter().flatten().enumerate()
}

fn named<'v>(
    keywords: &'v Map<String, Value>,
    keyword: &str,
) -> impl Iterator<Item = (&'v String, &'v Value)> {
    keywords.get(keyword).and_then(Value::as_object).into_iter().flatten()
}
