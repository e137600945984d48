//! What an input consists of.

use super::super::fault::{Fault, quoted};
use super::super::fields::Fields;
use super::super::messages::text_of;
use gatefold::tokenizer::Message;
use serde_json::Value;

/// What of an item says nothing that the model could hear.
const IGNORED: [&str; 3] = ["id", "phase", "status"];

/// Types of parts that are text.
const TEXTS: [&str; 3] = ["input_text", "output_text", "text"];

/// The conversation that a body's input is: a text of the user, or items.
pub(super) fn conversation(body: &mut Fields) -> Result<Vec<Message>, Fault> {
    let input = body.take("input");
    match body.required("input", input)? {
        Value::String(text) => Ok(vec![Message::new("user", text)]),
        Value::Array(items) if !items.is_empty() => {
            let path = |idx| format!("{}input[{idx}].", body.path());
            let items = items.into_iter().enumerate();
            items.map(|(idx, value)| message(value, path(idx))).collect()
        }
        other => Err(body.wrong("input", quoted(&other), "a string, or an array of items")),
    }
}

/// An item, of which messages alone are understood.
fn message(value: Value, path: String) -> Result<Message, Fault> {
    let mut item = Fields::of(value, path)?;
    let kind = item.string("type")?.unwrap_or_else(|| "message".into());
    if kind != "message" {
        let param = format!("{}type", item.path());
        let message = format!(
            "{param} is {}, which gatefold does not do; leave it out",
            quoted(&kind.into())
        );
        return Err(Fault::at("unsupported_parameter", param, message));
    }
    let role = item.string("role")?;
    let role = match item.required("role", role)?.as_str() {
        "developer" => "system".to_owned(),
        role @ ("system" | "user" | "assistant") => role.to_owned(),
        role => {
            let expected = "\"system\", \"developer\", \"user\" or \"assistant\"";
            return Err(item.wrong("role", quoted(&role.into()), expected));
        }
    };
    let content = item.take("content");
    let content = item.required("content", content)?;
    let Some(text) = text_of(&content, &TEXTS) else {
        let expected = "a string, or an array of parts of type \"input_text\" or \"output_text\"";
        return Err(item.wrong("content", quoted(&content), expected));
    };
    item.finish(&IGNORED)?;
    Ok(Message::new(role, text))
}
