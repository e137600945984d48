//! The schemas of what is sent.

use super::described::{called, format, tool, tool_choice};
use super::{array, fields, object, schema};
use crate::openai::{Endpoint, IGNORED};
use serde_json::{Value, json};

/// All of them, by their names.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("ChatRequest", chat()),
        ("Message", message()),
        ("Tool", tool(Endpoint::Chat)),
        ("ToolCall", tool_call()),
        ("CompletionRequest", completion()),
        ("ResponsesRequest", responses()),
        ("Item", item()),
        ("ResponsesTool", tool(Endpoint::Responses)),
        ("FileRequest", file()),
        ("BatchRequest", batch()),
        ("TokenizeRequest", tokenize()),
        ("DetokenizeRequest", fields(&["tokens"], json!({"tokens": tokens(), "model": {}}))),
    ]
}

/// What answers depend on besides the prompt, wherever they are asked for.
fn common() -> Value {
    json!({
        "model": text(),
        "stream": truth(),
        "stop": {"anyOf": [text(), {"type": "array", "maxItems": 64, "items": {"type": "string"}}]},
        "seed": {
            "type": ["integer", "null"],
            "minimum": i64::MIN,
            "maximum": u64::MAX,
            "description": "64 bits",
        },
        "temperature": number(0.0, 2.0),
        "top_p": number(0.0, 1.0),
        "top_k": {"type": ["integer", "null"], "minimum": -1, "description": "0 or -1 is all"},
        "min_p": number(0.0, 1.0),
        "presence_penalty": number(-2.0, 2.0),
        "frequency_penalty": number(-2.0, 2.0),
        "repeat_penalty": number(0.01, 100.0),
        "repetition_penalty": number(0.01, 100.0),
        "repeat_last_n": {"type": ["integer", "null"], "minimum": -1, "description": "-1 is all"},
        "logit_bias": {
            "type": ["object", "null"],
            "description": "By token",
            "patternProperties": {"^[0-9]+$": {"type": "number", "minimum": -100, "maximum": 100}},
            "additionalProperties": false,
        },
        "response_format": format(Endpoint::Chat),
        "json_schema": any_object(),
        "guided_json": any_object(),
        "structured_outputs": any_object(),
        "grammar": text(),
        "guided_grammar": text(),
        "ebnf": text(),
        "regex": text(),
        "guided_regex": text(),
        "guided_choice": {"type": ["array", "null"], "minItems": 1, "items": {"type": "string"}},
        "grammar_lazy": {"enum": [false, null]},
    })
}

/// An object that may have these fields, the common ones, and those that change nothing, whose values may
/// be any.
fn asked(required: &[&str], own: Value) -> Value {
    let mut all = common();
    if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
        all.extend(IGNORED.map(|name| (name.to_owned(), json!({}))));
        all.extend(own);
    }
    fields(required, all)
}

fn chat() -> Value {
    asked(
        &["messages"],
        json!({
            "messages": {"type": "array", "minItems": 1, "items": schema("Message")},
            "max_tokens": limit(1),
            "max_completion_tokens": limit(1),
            "verbosity": {"enum": ["medium", null]},
            "n": count(1, Some(128)),
            "logprobs": truth(),
            "top_logprobs": count(0, Some(20)),
            "stream_options": stream_options(),
            "return_progress": truth(),
            "tools": tools("Tool"),
            "tool_choice": tool_choice(Endpoint::Chat),
            "parallel_tool_calls": truth(),
        }),
    )
}

/// A message, which has a content, or calls.
fn message() -> Value {
    let mut message = fields(
        &["role"],
        json!({
            "role": {"enum": ["system", "developer", "user", "assistant", "tool"]},
            "content": {"anyOf": [content(&["text"]), {"type": "null"}]},
            "tool_calls": {"type": ["array", "null"], "items": schema("ToolCall")},
            "tool_call_id": text(),
        }),
    );
    message["anyOf"] = json!([
        {"required": ["content"], "properties": {
            "content": {"type": ["string", "array"]},
            "tool_calls": {"maxItems": 0},
        }},
        {"required": ["tool_calls"], "properties": {
            "role": {"const": "assistant"},
            "tool_calls": {"type": "array", "minItems": 1},
        }},
    ]);
    message
}

fn tool_call() -> Value {
    let function = fields(&["name", "arguments"], called());
    fields(
        &["id", "function"],
        json!({"id": {"type": "string"}, "type": {}, "index": {}, "function": function}),
    )
}

fn tools(name: &str) -> Value {
    json!({"type": ["array", "null"], "maxItems": 128, "items": schema(name)})
}

fn completion() -> Value {
    let several =
        |items: Value| json!({"type": "array", "minItems": 1, "maxItems": 128, "items": items});
    asked(
        &["prompt"],
        json!({
            "prompt": {
                "description": "A text or tokens, or several",
                "anyOf": [{"type": "string"}, tokens(), several(json!({"type": "string"})), several(tokens())],
            },
            "max_tokens": limit(0),
            "n": count(1, Some(128)),
            "logprobs": count(0, Some(5)),
            "echo": truth(),
            "return_progress": truth(),
            "stream_options": stream_options(),
        }),
    )
}

fn responses() -> Value {
    asked(
        &["input"],
        json!({
            "input": {"anyOf": [
                {"type": "string"},
                {"type": "array", "minItems": 1, "items": schema("Item")},
            ]},
            "instructions": text(),
            "metadata": metadata(),
            "max_output_tokens": count(1, None),
            "top_logprobs": count(0, Some(20)),
            "include": {"type": ["array", "null"], "items": {"enum": [
                "message.output_text.logprobs", "reasoning.encrypted_content",
            ]}},
            "stream_options": may_be_null(fields(&[], json!({"include_obfuscation": {}}))),
            "text": may_be_null(fields(
                &[],
                json!({"format": format(Endpoint::Responses), "verbosity": {"enum": ["medium", null]}}),
            )),
            "reasoning": may_be_null(fields(
                &[],
                json!({"effort": {"enum": ["none", null]}, "summary": {"enum": ["auto", null]}}),
            )),
            "tools": tools("ResponsesTool"),
            "tool_choice": tool_choice(Endpoint::Responses),
            "parallel_tool_calls": truth(),
            "truncation": {"enum": ["disabled", null]},
            "background": {"enum": [false, null]},
            "max_tool_calls": {},
            "prompt_cache_options": {},
        }),
    )
}

/// A message, a call of a function, or what one has come to.
fn item() -> Value {
    let content = content(&["input_text", "output_text", "text"]);
    let mut message = fields(
        &["role", "content"],
        json!({
            "type": {"enum": ["message", null]},
            "role": {"enum": ["system", "developer", "user", "assistant"]},
            "content": content,
        }),
    );
    let mut call = fields(&["type", "call_id", "name", "arguments"], called());
    call["properties"]["type"] = json!({"const": "function_call"});
    call["properties"]["call_id"] = json!({"type": "string"});
    let mut result = fields(
        &["type", "call_id", "output"],
        json!({
            "type": {"const": "function_call_output"},
            "call_id": {"type": "string"},
            "output": content,
        }),
    );
    for item in [&mut message, &mut call, &mut result] {
        for ignored in ["id", "status", "phase"] {
            item["properties"][ignored] = json!({});
        }
    }
    json!({"anyOf": [message, call, result]})
}

fn file() -> Value {
    fields(
        &["purpose", "file"],
        json!({
            "purpose": {"const": "batch"},
            "file": {"type": "string", "contentMediaType": "application/octet-stream"},
        }),
    )
}

fn batch() -> Value {
    fields(
        &["input_file_id", "endpoint", "completion_window"],
        json!({
            "input_file_id": schema("FileId"),
            "endpoint": {"enum": ["/v1/chat/completions", "/v1/completions", "/v1/responses"]},
            "completion_window": {
                "const": "24h",
                "description": "A batch takes as long as it takes, and does not expire",
            },
            "metadata": metadata(),
        }),
    )
}

/// A count, or no limit.
fn limit(least: usize) -> Value {
    json!({"anyOf": [count(least, None), {"const": -1}]})
}

fn metadata() -> Value {
    json!({
        "type": ["object", "null"],
        "description": "Told again",
        "maxProperties": 16,
        "propertyNames": {"maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 512},
    })
}

fn tokenize() -> Value {
    let mut request = fields(
        &[],
        json!({
            "prompt": text(),
            "content": text(),
            "add_special_tokens": truth(),
            "add_special": truth(),
            "parse_special": truth(),
            "return_token_strs": {"enum": [false, null]},
            "with_pieces": {"enum": [false, null]},
            "model": {},
        }),
    );
    let has = |name: &str| json!({"required": [name], "properties": {name: {"type": "string"}}});
    request["anyOf"] = json!([has("prompt"), has("content")]);
    request
}

pub(super) fn text() -> Value {
    json!({"type": ["string", "null"]})
}

fn truth() -> Value {
    json!({"type": ["boolean", "null"]})
}

fn number(least: f64, most: f64) -> Value {
    json!({"type": ["number", "null"], "minimum": least, "maximum": most})
}

fn count(least: usize, most: Option<usize>) -> Value {
    let mut count = json!({"type": ["integer", "null"], "minimum": least});
    // What counts in 64 bits.
    count["maximum"] = most.unwrap_or(usize::MAX).into();
    count
}

fn tokens() -> Value {
    array(json!({"type": "integer", "minimum": 0}))
}

fn may_be_null(mut schema: Value) -> Value {
    schema["type"] = json!(["object", "null"]);
    schema
}

/// A text, or parts of these types.
fn content(types: &[&str]) -> Value {
    let part = object(json!({"type": {"enum": types}, "text": {"type": "string"}}));
    json!({"anyOf": [{"type": "string"}, array(part)]})
}

pub(super) fn any_object() -> Value {
    json!({"type": ["object", "null"]})
}

/// With `stream` alone.
fn stream_options() -> Value {
    may_be_null(fields(&[], json!({"include_usage": truth(), "include_obfuscation": {}})))
}
