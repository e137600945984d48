//! The schemas of functions and forms, which chats and responses describe alike.

use super::requests::{any_object, text};
use super::{array, fields};
use crate::openai::Endpoint;
use serde_json::{Value, json};

/// A function that may be called.
pub(super) fn tool(endpoint: Endpoint) -> Value {
    let mut own = json!({
        "name": {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
        "description": text(),
        "parameters": any_object(),
        "strict": {},
    });
    if endpoint == Endpoint::Responses {
        own["allowed_callers"] = json!({"enum": [["direct"], null]});
        own["async"] = json!({"enum": [false, null]});
        own["defer_loading"] = json!({"enum": [false, null]});
    }
    described(endpoint, "function", &["name"], own)
}

/// Whether functions are called, and which.
pub(super) fn tool_choice(endpoint: Endpoint) -> Value {
    let named = described(endpoint, "function", &["name"], json!({"name": {"type": "string"}}));
    let mut several = array(named.clone());
    several["minItems"] = 1.into();
    let allowed = json!({"mode": {"enum": ["auto", "required"]}, "tools": several});
    json!({"anyOf": [
        {"enum": ["none", "auto", "required", null]},
        named,
        described(endpoint, "allowed_tools", &["mode", "tools"], allowed),
    ]})
}

/// What an answer is to be, as text or JSON.
pub(super) fn format(endpoint: Endpoint) -> Value {
    let own = json!({"schema": {"type": "object"}, "name": {}, "description": {}, "strict": {}});
    let object = json!({"type": {"const": "json_object"}, "schema": any_object()});
    json!({"anyOf": [
        fields(&["type"], json!({"type": {"const": "text"}})),
        fields(&["type"], object),
        described(endpoint, "json_schema", &["schema"], own),
        {"type": "null"},
    ]})
}

/// The name and the arguments of a function that is called: an object, as it is or in a text.
pub(super) fn called() -> Value {
    json!({
        "name": {"type": "string"},
        "arguments": {"type": ["string", "object"], "contentMediaType": "application/json"},
    })
}

/// An object of a type, whose own fields are beside the type in responses, and in chats in an object
/// with the type's name.
fn described(endpoint: Endpoint, kind: &str, required: &[&str], own: Value) -> Value {
    let (mut all, required) = match endpoint {
        Endpoint::Responses => (own, [&["type"], required].concat()),
        _ => (json!({kind: fields(required, own)}), vec!["type", kind]),
    };
    all["type"] = json!({"const": kind});
    fields(&required, all)
}
