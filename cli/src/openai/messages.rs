//! What answers follow: conversations, texts, tokens.

use super::endpoint::Endpoint;
use super::fault::{Fault, quoted};
use super::fields::Fields;
use super::request::{Prompt, Text};
use gatefold::tokenizer::{Message, ToolCall};
use serde_json::{Value, json};

/// A writer with a name: the number of the message, and the name.
pub(super) type Named = (usize, String);

/// The conversation in a body, and the first of its writers who has a name.
pub(super) fn conversation(body: &mut Fields) -> Result<(Prompt, Option<Named>), Fault> {
    let messages = body.take("messages");
    let messages = match body.required("messages", messages)? {
        Value::Array(messages) if !messages.is_empty() => messages,
        other => return Err(body.wrong("messages", quoted(&other), "an array of messages")),
    };
    let path = |idx| format!("{}messages[{idx}].", body.path());
    let messages = messages.into_iter().enumerate().map(|(idx, value)| message(value, path(idx)));
    let messages: Vec<_> = messages.collect::<Result<_, _>>()?;
    let (messages, names): (_, Vec<Option<String>>) = messages.into_iter().unzip();
    let mut names = names.into_iter().enumerate();
    Ok((Prompt::Chat(messages), names.find_map(|(idx, name)| Some((idx, name?)))))
}

/// A message, and the name of whoever wrote it.
fn message(value: Value, path: String) -> Result<(Message, Option<String>), Fault> {
    let mut message = Fields::of(value, path)?;
    let role = message.string("role")?;
    let role = match message.required("role", role)?.as_str() {
        // What newer models call the system.
        "developer" => "system".to_owned(),
        // What becomes of a tool's is up to the template.
        role @ ("system" | "user" | "assistant" | "tool") => role.to_owned(),
        role => {
            let expected = "\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"";
            return Err(message.wrong("role", quoted(&role.into()), expected));
        }
    };
    let tool_calls = match role.as_str() {
        "assistant" => tool_calls(&mut message)?,
        _ => Vec::new(),
    };
    let content = match message.take("content") {
        // Who calls need not say anything.
        None if !tool_calls.is_empty() => "".into(),
        content => message.required("content", content)?,
    };
    let Some(text) = text_of(&content, &["text"]) else {
        let expected = "a string, or an array of parts of type \"text\"";
        return Err(message.wrong("content", quoted(&content), expected));
    };
    let tool_call_id = match role.as_str() {
        "tool" => message.string("tool_call_id")?,
        _ => None,
    };
    for name in ["annotations", "audio", "function_call", "refusal", "tool_calls"] {
        message.unsupported(name, &json!([]))?;
    }
    let name = message.string("name")?.filter(|name| !name.is_empty());
    // What OpenAI's client reads out of an answer, and sends along with it.
    let ignored: &[&str] = if role == "assistant" { &["parsed"] } else { &[] };
    message.finish(ignored)?;
    // The function whose result it is; its call tells it, too.
    let name = name.filter(|_| role != "tool");
    Ok((Message { tool_calls, tool_call_id, ..Message::new(role, text) }, name))
}

/// The calls of an assistant's message.
fn tool_calls(message: &mut Fields) -> Result<Vec<ToolCall>, Fault> {
    let calls = match message.take("tool_calls") {
        None => return Ok(Vec::new()),
        Some(Value::Array(calls)) => calls,
        Some(other) => {
            return Err(message.wrong("tool_calls", quoted(&other), "an array of calls"));
        }
    };
    let path = |idx| format!("{}tool_calls[{idx}].", message.path());
    calls.into_iter().enumerate().map(|(idx, call)| tool_call(call, path(idx))).collect()
}

fn tool_call(call: Value, path: String) -> Result<ToolCall, Fault> {
    let mut call = Fields::of(call, path)?;
    let id = call.string("id")?;
    let id = call.required("id", id)?;
    let function = Endpoint::Chat.described(call, "function", &["index", "type"])?;
    called(id, function, &[])
}

/// The call with this id of the function that is named in these fields, with its arguments.
pub(super) fn called(
    id: String,
    mut function: Fields,
    ignored: &[&str],
) -> Result<ToolCall, Fault> {
    let name = function.string("name")?;
    let name = function.required("name", name)?;
    let arguments = function.take("arguments");
    let arguments = match function.required("arguments", arguments)? {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        value => value,
    };
    if !arguments.is_object() {
        let expected = "an object as JSON in a string";
        return Err(function.wrong("arguments", quoted(&arguments), expected));
    }
    function.finish(&[ignored, &["parsed_arguments"]].concat())?;
    Ok(ToolCall::new(id, name, arguments))
}

/// The text of a content: itself, or its parts, which are of these types, a line each.
pub(super) fn text_of(content: &Value, types: &[&str]) -> Option<String> {
    let text = |part: &Value| match part.get("type")?.as_str()? {
        part_type if types.contains(&part_type) => part.get("text")?.as_str().map(str::to_owned),
        _ => None,
    };
    match content {
        Value::String(content) => Some(content.clone()),
        Value::Array(parts) => {
            parts.iter().map(text).collect::<Option<Vec<_>>>().map(|parts| parts.join("\n"))
        }
        _ => None,
    }
}

/// The texts in a body, `most` of them at most.
pub(super) fn texts(body: &mut Fields, most: usize) -> Result<Vec<Text>, Fault> {
    let prompt = body.take("prompt");
    let prompt = body.required("prompt", prompt)?;
    texts_of(&prompt, most).ok_or_else(|| {
        let expected = format!("a string, an array of tokens, or an array of 1 to {most} of them");
        body.wrong("prompt", quoted(&prompt), expected)
    })
}

fn texts_of(prompt: &Value, most: usize) -> Option<Vec<Text>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(Text::Text(text.clone())),
        Value::Array(ids) => {
            let ids = ids.iter().map(|id| id.as_u64()?.try_into().ok());
            ids.collect::<Option<_>>().map(Text::Tokens)
        }
        _ => None,
    };
    match prompt {
        Value::Array(prompts)
            if matches!(prompts.first(), Some(Value::String(_) | Value::Array(_))) =>
        {
            let few = Some(prompts).filter(|prompts| prompts.len() <= most);
            few?.iter().map(one).collect()
        }
        _ => one(prompt).map(|text| vec![text]),
    }
}
