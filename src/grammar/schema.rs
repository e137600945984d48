//! A JSON Schema as far as it is enforced.
//!
//! llguidance passes over keywords that it does not know, follows references in the simplest case
//! only, and has a few gaps, found by reading it and by the JSON Schema test suite. So every keyword is
//! looked at here: what is enforced goes on, in an order and a form without those gaps, what says
//! nothing of instances is dropped, and everything else is an error that names it.

use super::GrammarError;
use super::disjoint::{are_disjoint, unescaped};
use super::formats::{self, Format};
use super::keywords::{
    ANNOTATIONS, VALUES, check_exact, check_together, combines, counted, do_meet, says_nothing,
    wrong,
};
use super::multiples::Multiple;
use super::pattern;
use super::together;
use serde_json::{Map, Value, json};
use std::collections::HashSet;

/// Schemas in a schema: more than any that people write has.
const MOST_SCHEMAS: usize = 2_000;

/// What llguidance is to do beside the schema. A string is spelled in one way alone, so that no name of
/// a property can hide behind an escape; and blanks are a space, or an end of a line with what indents
/// the next, so that no model writes walls of them.
fn options() -> Value {
    json!({
        "json_allowed_escapes": "nrbtf\\\"",
        "whitespace_pattern": r" |\n {0,20}",
    })
}

/// The schema with what is enforced.
///
/// # Errors
/// If it has what is not, or is wrong.
pub(super) fn enforced(schema: &Value) -> Result<Value, GrammarError> {
    let mut walk = Walk {
        root: schema,
        places: HashSet::new(),
        references: Vec::new(),
        multiples: Vec::new(),
        do_meet: false,
        is_old: is_old(schema),
    };
    let mut enforced = walk.schema(schema, "#")?;
    for (place, target) in &walk.references {
        // `#/` is the whole, too.
        if !walk.places.contains(target.trim_end_matches('/')) {
            return Err(wrong(place, "refers to what is no schema"));
        }
    }
    together::check(schema)?;
    // Of those that meet, only multiples of all are allowed. Which ones do is not worth telling.
    if walk.do_meet {
        let mut multiples = walk.multiples.iter();
        let first = multiples.next().map(|(_, first)| *first);
        multiples.try_fold(first, |all, (place, next)| {
            let all = all.map(|all| all.with(*next)).transpose();
            all.map_err(|problem| wrong(place, problem))
        })?;
    }
    if let Value::Object(enforced) = &mut enforced {
        enforced.insert("x-guidance".into(), options());
    }
    Ok(enforced)
}

/// Whether it says that it is of a draft before 2020-12.
fn is_old(schema: &Value) -> bool {
    let uri = schema.get("$schema").and_then(Value::as_str).unwrap_or_default();
    ["draft-04", "draft-06", "draft-07", "2019-09"].iter().any(|draft| uri.contains(draft))
}

/// A walk through all schemas of a schema.
struct Walk<'s> {
    root: &'s Value,
    /// Where schemas are.
    places: HashSet<String>,
    /// Where references are, and to what.
    references: Vec<(String, String)>,
    /// Where multiples are asked for, and of what.
    multiples: Vec<(String, Multiple)>,
    /// Whether several schemas may describe one value.
    do_meet: bool,
    is_old: bool,
}

impl Walk<'_> {
    /// The schema at `place`, with what is enforced.
    fn schema(&mut self, schema: &Value, place: &str) -> Result<Value, GrammarError> {
        self.places.insert(place.to_owned());
        if self.places.len() > MOST_SCHEMAS {
            return Err(wrong("#", format!("has more than {MOST_SCHEMAS} schemas in it")));
        }
        let keywords = match schema {
            Value::Bool(_) => return Ok(schema.clone()),
            Value::Object(keywords) => keywords,
            _ => return Err(wrong(place, "is neither an object nor true or false")),
        };
        check_together(keywords, place, self.is_old)?;
        let mut enforced = Map::new();
        for (keyword, value) in keywords {
            let place = format!("{place}/{keyword}");
            if let Some(value) = self.keyword(keyword, value, &place)? {
                enforced.insert(keyword.clone(), value);
            }
        }
        self.do_meet |= do_meet(&enforced);
        if enforced.contains_key("not") {
            return Ok(Value::Bool(false));
        }
        if let Some(Ok(Format::Schema(said))) = enforced.get("format").map(formats::of) {
            enforced.remove("format");
            also(&mut enforced, said);
        }
        if let Some(any_of) = enforced.get("oneOf").and_then(|it| self.any_of(it, keywords)) {
            enforced.remove("oneOf");
            also(&mut enforced, any_of);
        }
        // The rest is read as a whole only where none of these is in between.
        let (last, first): (Vec<_>, Vec<_>) =
            enforced.into_iter().partition(|(keyword, _)| combines(keyword));
        Ok(first.into_iter().chain(last).collect())
    }

    /// What says the same as these alternatives of a `oneOf` where no two can hold: then one does if any
    /// does. The property by which OpenAPI tells them apart is required of each: its tag may have a
    /// default, and without it more than one could hold.
    fn any_of(&self, options: &Value, keywords: &Map<String, Value>) -> Option<Value> {
        if are_disjoint(self.root, options, None) {
            return Some(json!({ "anyOf": options }));
        }
        let tag = keywords.get("discriminator")?.get("propertyName")?.as_str()?;
        if !are_disjoint(self.root, options, Some(tag)) {
            return None;
        }
        let tagged = |option| json!({"allOf": [option, {"type": "object", "required": [tag]}]});
        let options: Vec<Value> = options.as_array()?.iter().map(tagged).collect();
        Some(json!({ "anyOf": options }))
    }

    /// The value of a keyword, or none if it changes nothing.
    fn keyword(
        &mut self,
        keyword: &str,
        value: &Value,
        place: &str,
    ) -> Result<Option<Value>, GrammarError> {
        let value = match keyword {
            // With a name of its own, references below mean something else.
            "$id" | "id" if value.is_string() && place != format!("#/{keyword}") => {
                return Err(wrong(place, "is not followed below the root; leave it out"));
            }
            "$schema" if place != "#/$schema" => {
                return Err(wrong(place, "is not followed below the root; leave it out"));
            }
            "items" if value.is_array() => self.schemas(value, place)?,
            "items" | "additionalItems" | "additionalProperties" => self.schema(value, place)?,
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => self.schemas(value, place)?,
            "properties" | "$defs" | "definitions" => self.named(value, place, false)?,
            "patternProperties" => self.named(value, place, true)?,
            "const" | "enum" => {
                check_exact(value, place)?;
                value.clone()
            }
            "$ref" => {
                let target = value.as_str().ok_or_else(|| wrong(place, "is no text"))?;
                self.refer(target, place)?.into()
            }
            "pattern" => pattern_of(value, place)?.into(),
            "format" => match formats::of(value).map_err(|problem| wrong(place, problem))? {
                Format::Annotation => return Ok(None),
                Format::Parsed | Format::Schema(_) => value.clone(),
            },
            // Names are texts.
            "propertyNames" if says_nothing(value, "string") => return Ok(None),
            // Nothing at all is allowed.
            "not" if says_nothing(value, "") => true.into(),
            "not" if *value == Value::Bool(false) => return Ok(None),
            "uniqueItems" if *value == Value::Bool(false) => return Ok(None),
            "multipleOf" => {
                let multiple = Multiple::of(value).map_err(|problem| wrong(place, problem))?;
                self.multiples.push((place.to_owned(), multiple));
                value.clone()
            }
            keyword if VALUES.contains(&keyword) => {
                check_exact(value, place)?;
                counted(value)
            }
            keyword if ANNOTATIONS.contains(&keyword) => return Ok(None),
            // OpenAPI's prefix for annotations of others.
            keyword if keyword.starts_with("x-") && keyword != "x-guidance" => return Ok(None),
            _ => return Err(wrong(place, "is not enforced here; leave it out")),
        };
        Ok(Some(value))
    }

    fn schemas(&mut self, value: &Value, place: &str) -> Result<Value, GrammarError> {
        let schemas = value.as_array().ok_or_else(|| wrong(place, "is no array of schemas"))?;
        let schemas = schemas.iter().enumerate();
        schemas.map(|(idx, schema)| self.schema(schema, &format!("{place}/{idx}"))).collect()
    }

    /// Schemas by names, or by patterns of them.
    fn named(
        &mut self,
        value: &Value,
        place: &str,
        are_patterns: bool,
    ) -> Result<Value, GrammarError> {
        let schemas = value.as_object().ok_or_else(|| wrong(place, "is no object of schemas"))?;
        let mut named = Map::new();
        for (name, schema) in schemas {
            let place = format!("{place}/{name}");
            let enforced = self.schema(schema, &place)?;
            let name = match are_patterns {
                true => pattern::from_ecma(name).map_err(|problem| wrong(&place, problem))?,
                false => name.clone(),
            };
            named.insert(name, enforced);
        }
        Ok(Value::Object(named))
    }

    /// Takes note of a reference, and returns its target as it is spelled here: without escapes.
    fn refer(&mut self, target: &str, place: &str) -> Result<String, GrammarError> {
        let is_plain = target == "#" || target.starts_with("#/");
        let Some(target) = unescaped(target).filter(|_| is_plain) else {
            let problem =
                "is not followed: expected a place in this schema, such as \"#/$defs/name\"";
            return Err(wrong(place, problem));
        };
        self.references.push((place.to_owned(), target.clone()));
        Ok(target)
    }
}

/// Adds a schema to what an instance must be.
fn also(enforced: &mut Map<String, Value>, schema: Value) {
    let all_of = enforced.entry("allOf").or_insert_with(|| json!([]));
    all_of.as_array_mut().expect("what is in it was looked at").push(schema);
}

fn pattern_of(value: &Value, place: &str) -> Result<String, GrammarError> {
    let pattern = value.as_str().ok_or_else(|| wrong(place, "is no text"))?;
    pattern::from_ecma(pattern).map_err(|problem| wrong(place, problem))
}
