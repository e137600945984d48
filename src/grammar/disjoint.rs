//! Schemas that have no instance in common, as far as that is plain to see.

use serde_json::Value;

/// Whether an instance can be one of at most one of these schemas.
pub(super) fn are_disjoint(root: &Value, options: &Value) -> bool {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let all: Vec<&Value> = options.iter().map(|option| resolved(root, option)).collect();
    // More would take long, and are none that people write.
    all.len() <= 200
        && (0..all.len())
            .all(|idx| all[idx + 1..].iter().all(|other| differ_in_kind(root, all[idx], other)))
}

/// Whether two schemas have no instance in common, as their types show, or a property that one of
/// them requires and that has other values in the other.
fn differ_in_kind(root: &Value, a: &Value, b: &Value) -> bool {
    let (Some(types_a), Some(types_b)) = (types(a), types(b)) else { return false };
    if types_a.iter().all(|kind| !types_b.contains(kind)) {
        return true;
    }
    if types_a != ["object"] || types_b != ["object"] {
        return false;
    }
    let values = |schema: &Value, name: &str| -> Option<Vec<Value>> {
        values(resolved(root, schema.get("properties")?.get(name)?))
    };
    let required = |schema: &Value| {
        let names = schema.get("required").and_then(Value::as_array).cloned();
        names.unwrap_or_default().into_iter()
    };
    required(a).chain(required(b)).any(|name| {
        let name = name.as_str().unwrap_or_default();
        match (values(a, name), values(b, name)) {
            (Some(a), Some(b)) => a.iter().all(|value| !b.contains(value)),
            _ => false,
        }
    })
}

/// The schema that a reference leads to. What stands beside the reference only narrows it.
fn resolved<'v>(root: &'v Value, mut schema: &'v Value) -> &'v Value {
    for _ in 0..8 {
        let Some(target) = schema.get("$ref").and_then(Value::as_str) else { break };
        let Some(target) = unescaped(target) else { break };
        let steps = target.trim_matches(['#', '/']).split('/').filter(|step| !step.is_empty());
        let step = |value: &'v Value, step: &str| match value {
            Value::Array(values) => values.get(step.parse::<usize>().ok()?),
            value => value.get(step),
        };
        let Some(found) = steps.into_iter().try_fold(root, step) else { break };
        schema = found;
    }
    schema
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

/// The types of instances, if they are told.
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
fn values(schema: &Value) -> Option<Vec<Value>> {
    let values = match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => vec![value.clone()],
        (None, Some(Value::Array(values))) => values.clone(),
        _ => return None,
    };
    values.iter().all(Value::is_string).then_some(values)
}
