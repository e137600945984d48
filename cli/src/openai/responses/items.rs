//! What an input consists of.

use super::super::fault::{Fault, quoted};
use super::super::fields::Fields;
use super::super::messages::{called, text_of};
use gatefold::tokenizer::{Message, ToolCall};
use serde_json::{Value, json};

/// What of an item says nothing that the model could hear.
const IGNORED: [&str; 3] = ["id", "phase", "status"];

/// Types of parts that are text.
const TEXTS: [&str; 3] = ["input_text", "output_text", "text"];

/// A part of a conversation.
enum Item {
    Message(Message),
    /// A call by the assistant.
    Call(ToolCall),
    /// What no model has said or heard.
    Nothing,
}

/// The conversation that a body's input is: a text of the user, or items.
pub(super) fn conversation(body: &mut Fields) -> Result<Vec<Message>, Fault> {
    let input = body.take("input");
    let items = match body.required("input", input)? {
        Value::String(text) => return Ok(vec![Message::new("user", text)]),
        Value::Array(items) if !items.is_empty() => items,
        other => {
            return Err(body.wrong("input", quoted(&other), "a string, or an array of items"));
        }
    };
    let mut messages: Vec<Message> = Vec::new();
    for (idx, value) in items.into_iter().enumerate() {
        match item(Fields::of(value, format!("{}input[{idx}].", body.path()))?)? {
            Item::Nothing => {}
            Item::Message(message) => messages.push(message),
            // Calls are a part of what the assistant says, and may be all of it.
            Item::Call(call) => match messages.last_mut() {
                Some(last) if last.role == "assistant" => last.tool_calls.push(call),
                _ => messages
                    .push(Message { tool_calls: vec![call], ..Message::new("assistant", "") }),
            },
        }
    }
    match messages.is_empty() {
        true => Err(body.wrong("input", "nothing but empty reasoning", "a message among it")),
        false => Ok(messages),
    }
}

fn item(mut item: Fields) -> Result<Item, Fault> {
    let kind = item.string("type")?.unwrap_or_else(|| "message".into());
    match kind.as_str() {
        "message" => message(item).map(Item::Message),
        "function_call" => {
            let id = call_id(&mut item)?;
            called(id, item, &IGNORED).map(Item::Call)
        }
        "function_call_output" => result(item).map(Item::Message),
        "reasoning" => {
            for name in ["content", "encrypted_content", "summary"] {
                item.unsupported(name, &json!([]))?;
            }
            item.finish(&IGNORED)?;
            Ok(Item::Nothing)
        }
        "item_reference" => {
            let param = format!("{}type", item.path());
            let message = format!(
                "{param} is \"item_reference\", and this server keeps no responses; send the items themselves (`store`: false)"
            );
            Err(Fault::at("unsupported_parameter", param, message))
        }
        _ => Err(item.not_done("type", &kind.into())),
    }
}

fn message(mut item: Fields) -> Result<Message, Fault> {
    let role = item.string("role")?;
    let role = match item.required("role", role)?.as_str() {
        "developer" => "system".to_owned(),
        role @ ("system" | "user" | "assistant") => role.to_owned(),
        role => {
            let expected = "\"system\", \"developer\", \"user\" or \"assistant\"";
            return Err(item.wrong("role", quoted(&role.into()), expected));
        }
    };
    let text = text(&mut item, "content")?;
    item.finish(&IGNORED)?;
    Ok(Message::new(role, text))
}

/// What a call has come to.
fn result(mut item: Fields) -> Result<Message, Fault> {
    let tool_call_id = Some(call_id(&mut item)?);
    let text = text(&mut item, "output")?;
    item.finish(&IGNORED)?;
    Ok(Message { tool_call_id, ..Message::new("tool", text) })
}

fn call_id(item: &mut Fields) -> Result<String, Fault> {
    let id = item.string("call_id")?;
    item.required("call_id", id)
}

/// The text in a field of an item.
fn text(item: &mut Fields, name: &str) -> Result<String, Fault> {
    let content = item.take(name);
    let content = item.required(name, content)?;
    text_of(&content, &TEXTS).ok_or_else(|| {
        let expected = "a string, or an array of parts of type \"input_text\" or \"output_text\"";
        item.wrong(name, quoted(&content), expected)
    })
}
