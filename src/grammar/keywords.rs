//! What single keywords of a JSON Schema say, and which of them depend on each other.

use super::GrammarError;
use super::pattern;
use serde_json::{Map, Value};

/// Keywords that say nothing of what an instance is.
pub(super) const ANNOTATIONS: [&str; 17] = [
    "$anchor",
    "$comment",
    "$schema",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "default",
    "deprecated",
    "description",
    // Of OpenAPI: which of alternatives it is shows in the instance in any case.
    "discriminator",
    "example",
    "examples",
    "id",
    "$id",
    "readOnly",
    "title",
    "writeOnly",
];

/// Keywords whose values are no schemas, and which go on as they are.
pub(super) const VALUES: [&str; 12] = [
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "required",
    "type",
];

/// Of the largest number, all of whose neighbours are integers that a float can be.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// What is wrong at a place of a schema.
pub(super) fn wrong(place: &str, problem: impl Into<String>) -> GrammarError {
    GrammarError::Schema { place: place.to_owned(), problem: problem.into() }
}

/// Whether every value of this type is an instance of a schema; without a type, whether every value is.
pub(super) fn says_nothing(schema: &Value, of_type: &str) -> bool {
    match schema {
        Value::Object(keywords) => keywords.iter().all(|(keyword, value)| {
            ANNOTATIONS.contains(&keyword.as_str()) || keyword == "type" && value == of_type
        }),
        schema => *schema == Value::Bool(true),
    }
}

/// Whether a keyword puts schemas together, or is one value.
pub(super) fn combines(keyword: &str) -> bool {
    ["const", "enum", "allOf", "anyOf", "oneOf", "$ref"].contains(&keyword)
}

/// Whether a schema puts together what describes the same value, or the same property.
pub(super) fn do_meet(keywords: &Map<String, Value>) -> bool {
    let said =
        keywords.iter().filter(|(keyword, _)| !["$defs", "definitions"].contains(&&***keyword));
    let (combined, others): (Vec<_>, Vec<_>) = said.partition(|(keyword, _)| combines(keyword));
    let n_combined: usize = combined
        .iter()
        .map(|(keyword, value)| match &***keyword {
            "allOf" => value.as_array().map_or(0, Vec::len),
            _ => 1,
        })
        .sum();
    n_combined + usize::from(!others.is_empty()) > 1 && n_combined > 0
        || keywords.contains_key("patternProperties")
}

/// That keywords which depend on each other are enforced where they come together.
pub(super) fn check_together(
    keywords: &Map<String, Value>,
    place: &str,
    is_old: bool,
) -> Result<(), GrammarError> {
    let has = |keyword: &str| keywords.contains_key(keyword);
    let is_list = keywords.get("items").is_some_and(Value::is_array);
    let at = |keyword: &str, problem: &str| Err(wrong(&format!("{place}/{keyword}"), problem));
    if has("additionalItems") && !is_list {
        return at("additionalItems", "changes nothing unless \"items\" is an array; leave it out");
    }
    if has("prefixItems") && (is_list || is_old) {
        return at("prefixItems", "is of draft 2020-12, and other parts of the schema are not");
    }
    let required = keywords.get("required").and_then(Value::as_array).map_or(0, Vec::len);
    let min_properties = keywords.get("minProperties").and_then(Value::as_u64).unwrap_or(0);
    // Of further properties, a name could come twice.
    if min_properties > required as u64 + 1 {
        return at("minProperties", "is enforced up to one more than there are in \"required\"");
    }
    Ok(())
}

/// A count that is written with a fraction of 0.
pub(super) fn counted(value: &Value) -> Value {
    match value.as_f64() {
        Some(number) if value.is_f64() && number.fract() == 0.0 && number >= 0.0 => {
            Value::from(number as u64)
        }
        _ => value.clone(),
    }
}

/// That a value can be told as what it is: its numbers, and its texts.
pub(super) fn check_exact(value: &Value, place: &str) -> Result<(), GrammarError> {
    match value {
        Value::Number(number) => {
            let is_exact = number.as_f64().is_some_and(|number| number.abs() < MOST_EXACT);
            match is_exact {
                true => Ok(()),
                false => {
                    Err(wrong(place, "has a number beyond 2^53, which is not enforced exactly"))
                }
            }
        }
        Value::String(text) if text.contains(pattern::is_unspeakable) => {
            Err(wrong(place, "has a control character, which is not enforced"))
        }
        Value::Array(values) => values.iter().try_for_each(|value| check_exact(value, place)),
        Value::Object(values) => values.values().try_for_each(|value| check_exact(value, place)),
        _ => Ok(()),
    }
}
