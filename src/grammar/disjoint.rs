//! Schemas that have no instance in common, as far as that is plain to see.

use serde_json::Value;
use std::collections::{HashMap, HashSet};

/// Alternatives of a schema that are compared with each other, each with each.
const MOST_ALTERNATIVES: usize = 200;

/// Texts that properties of the alternatives may be, all together.
const MOST_TEXTS: usize = 4_000;

/// What tells a schema from others.
struct Shape<'v> {
    types: Vec<&'v str>,
    required: HashSet<&'v str>,
    /// Of properties that may be nothing else but these texts.
    texts: HashMap<&'v str, HashSet<&'v str>>,
}

/// Whether an instance can be one of at most one of these schemas, if each of them requires `tag`.
pub(super) fn are_disjoint(root: &Value, options: &Value, tag: Option<&str>) -> bool {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    if options.len() > MOST_ALTERNATIVES {
        return false;
    }
    let shape = |option| {
        let mut shape = Shape::of(root, resolved(root, option))?;
        shape.required.extend(tag);
        Some(shape)
    };
    let shape = options.iter().map(shape);
    let Some(all) = shape.collect::<Option<Vec<Shape>>>() else { return options.len() < 2 };
    let n_texts: usize = all.iter().flat_map(|shape| shape.texts.values()).map(HashSet::len).sum();
    n_texts <= MOST_TEXTS
        && (0..all.len()).all(|idx| all[idx + 1..].iter().all(|other| all[idx].excludes(other)))
}

impl<'v> Shape<'v> {
    /// That of a schema, if it tells its types.
    fn of(root: &'v Value, schema: &'v Value) -> Option<Shape<'v>> {
        let types = types(schema)?;
        let required = schema.get("required").and_then(Value::as_array);
        let required = required.into_iter().flatten().filter_map(Value::as_str).collect();
        let properties = schema.get("properties").and_then(Value::as_object);
        let texts = |(name, schema): (&'v String, &'v Value)| {
            Some((name.as_str(), texts(resolved(root, schema))?))
        };
        let texts = properties.into_iter().flatten().filter_map(texts).collect();
        Some(Shape { types, required, texts })
    }

    /// Whether two schemas have no instance in common, as their types show, or a property that one of
    /// them requires and that has other values in the other.
    fn excludes(&self, other: &Shape) -> bool {
        if self.types.iter().all(|kind| !other.types.contains(kind)) {
            return true;
        }
        self.types == ["object"]
            && other.types == ["object"]
            && self.texts.iter().any(|(name, texts)| {
                (self.required.contains(name) || other.required.contains(name))
                    && other.texts.get(name).is_some_and(|others| texts.is_disjoint(others))
            })
    }
}

/// The schema that a reference leads to. What stands beside the reference only narrows it.
fn resolved<'v>(root: &'v Value, mut schema: &'v Value) -> &'v Value {
    for _ in 0..8 {
        let Some(found) = target(root, schema) else { break };
        schema = found;
    }
    schema
}

/// The schema that the reference in a schema names, if it has one.
pub(super) fn target<'v>(root: &'v Value, schema: &Value) -> Option<&'v Value> {
    let target = unescaped(schema.get("$ref")?.as_str()?)?;
    let mut steps = target.trim_matches(['#', '/']).split('/').filter(|step| !step.is_empty());
    steps.try_fold(root, |value, step| match value {
        Value::Array(values) => values.get(step.parse::<usize>().ok()?),
        value => value.get(step),
    })
}

/// The target of a reference without its escapes; none if a name in it has a slash, or bytes that are
/// no text.
pub(super) fn unescaped(target: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = target.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    let target = String::from_utf8(bytes).ok()?;
    let is_plain = target.split('~').skip(1).all(|behind| behind.starts_with('0'));
    is_plain.then(|| target.replace("~0", "~"))
}

/// The types of instances, if they are shape.
fn types(schema: &Value) -> Option<Vec<&str>> {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    match schema.get("type") {
        Some(Value::String(name)) => Some(vec![general_type(name)]),
        Some(Value::Array(names)) => {
            names.iter().map(|name| name.as_str().map(general_type)).collect()
        }
        _ => {
            let one = schema.get("const").into_iter();
            let several = schema.get("enum").and_then(Value::as_array);
            let kinds: Vec<&str> = one.chain(several.into_iter().flatten()).map(kind).collect();
            Some(kinds).filter(|kinds| !kinds.is_empty())
        }
    }
}

/// A type without what narrows it.
fn general_type(name: &str) -> &str {
    if name == "integer" { "number" } else { name }
}

/// The texts that an instance may be, if it may be nothing else.
fn texts(schema: &Value) -> Option<HashSet<&str>> {
    match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => Some(HashSet::from([value.as_str()?])),
        (None, Some(Value::Array(values))) => values.iter().map(Value::as_str).collect(),
        _ => None,
    }
}
