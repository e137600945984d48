//! Functions that a model may call, and its calls.

use super::{ChatTemplate, Message};
use serde::{Deserialize, Serialize, ser};
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};
use std::io;

/// A call of a function, in a message of an assistant; to templates it looks as OpenAI has it, but that
/// its arguments are values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Names the call.
    pub id: String,
    #[serde(rename = "type", default)]
    kind: Kind,
    /// What is called.
    pub function: FunctionCall,
}

/// A function and what it is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionCall {
    /// The function.
    pub name: String,
    /// Its arguments, an object.
    #[serde(serialize_with = "plain")]
    pub arguments: Value,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Function,
}

impl ToolCall {
    /// A call.
    pub fn new(id: impl Into<String>, name: impl Into<String>, arguments: Value) -> ToolCall {
        let function = FunctionCall { name: name.into(), arguments };
        ToolCall { id: id.into(), kind: Kind::Function, function }
    }
}

/// What a template that knows no functions says of them.
const DESCRIPTION: &str = "You can call functions. To do so, answer with a JSON array of calls and nothing else: [{\"name\": NAME, \"arguments\": {...}}, ...]. You are then told what they give. These are the functions:";

/// What Mistral's third format writes before calls.
pub(super) const CALLS_MARK: &str = "[TOOL_CALLS]";

impl ChatTemplate {
    /// Whether it writes of functions by itself.
    pub fn knows_tools(&self) -> bool {
        self.source.contains("tools")
    }

    /// The control token that calls begin with, where the template writes one, as Mistral's do.
    pub fn calls_mark(&self) -> Option<&'static str> {
        self.source.contains(CALLS_MARK).then_some(CALLS_MARK)
    }

    /// A conversation with functions in the form that the template takes.
    pub(super) fn with_tools<'t>(
        &self,
        messages: &[Message],
        tools: &'t [Value],
    ) -> (Vec<Message>, &'t [Value]) {
        if !self.knows_tools() {
            return (in_words(messages, tools), &[]);
        }
        let mut messages = messages.to_vec();
        // Results are JSON in this format, whatever they are.
        if self.name.is_some_and(|name| name.starts_with("mistral-v3")) {
            for message in messages.iter_mut().filter(|message| message.role == "tool") {
                let value = serde_json::from_str(&message.content);
                let value = value.unwrap_or_else(|_| Value::from(message.content.as_str()));
                message.content = spaced(&value);
            }
        }
        (messages, tools)
    }
}

/// The conversation with functions, calls and results as texts.
fn in_words(messages: &[Message], tools: &[Value]) -> Vec<Message> {
    let mut told: Vec<Message> = Vec::new();
    if !tools.is_empty() {
        let functions: Vec<&Value> =
            tools.iter().map(|tool| tool.get("function").unwrap_or(tool)).collect();
        let functions = spaced(&serde_json::json!(functions));
        told.push(Message::new("system", format!("{DESCRIPTION}\n{functions}")));
    }
    let calls = || messages.iter().flat_map(|message| &message.tool_calls);
    for message in messages {
        match message {
            Message { tool_calls, .. } if !tool_calls.is_empty() => {
                let functions: Vec<_> = tool_calls.iter().map(|call| &call.function).collect();
                let calls = spaced(&serde_json::json!(functions));
                let words = [message.content.as_str(), &calls];
                let words: Vec<_> = words.into_iter().filter(|words| !words.is_empty()).collect();
                told.push(Message::new(message.role.clone(), words.join("\n\n")));
            }
            Message { tool_call_id: Some(id), content, .. } => {
                let call = calls().find(|call| call.id == *id);
                let name = call.map_or("a call", |call| &call.function.name);
                told.push(Message::new("user", format!("The result of {name}: {content}")));
            }
            // Its own words come before ours.
            Message { role, content, .. }
                if role == "system" && told.len() == 1 && !tools.is_empty() =>
            {
                told[0].content = format!("{content}\n\n{}", told[0].content);
            }
            message => told.push(message.clone()),
        }
    }
    told
}

/// JSON as Python writes it: with a blank behind commas and colons.
fn spaced(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Spaced);
    value.serialize(&mut serializer).expect("memory takes all that is written");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        writer.write_all(if is_first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        is_first: bool,
    ) -> io::Result<()> {
        writer.write_all(if is_first { b"" } else { b", " })
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

/// Writes a value of which templates see numbers: what serde_json makes of one depends on how it was
/// built.
pub(super) fn plain<S: ser::Serializer>(value: &Value, serializer: S) -> Result<S::Ok, S::Error> {
    Plain(value).serialize(serializer)
}

/// A value of which templates see numbers.
pub(super) struct Plain<'v>(pub &'v Value);

impl Serialize for Plain<'_> {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(number), ..) => serializer.serialize_i64(number),
                (_, Some(number), _) => serializer.serialize_u64(number),
                (.., Some(number)) => serializer.serialize_f64(number),
                _ => Err(ser::Error::custom(format!("{number} is too large for a number"))),
            },
            Value::Array(values) => serializer.collect_seq(values.iter().map(Plain)),
            Value::Object(fields) => {
                serializer.collect_map(fields.iter().map(|(name, value)| (name, Plain(value))))
            }
            other => other.serialize(serializer),
        }
    }
}

/// All texts in a value, and names of fields, which are text too.
pub(super) fn for_each_text(value: &mut Value, op: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => op(text),
        Value::Array(values) => values.iter_mut().for_each(|value| for_each_text(value, op)),
        Value::Object(fields) => {
            let named = std::mem::take(fields).into_iter().map(|(mut name, mut value)| {
                op(&mut name);
                for_each_text(&mut value, op);
                (name, value)
            });
            *fields = named.collect();
        }
        _ => {}
    }
}
