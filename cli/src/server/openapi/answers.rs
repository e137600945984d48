//! The schemas of what comes back.

use super::{array, object, schema};
use serde_json::{Map, Value, json};

/// All of them, by their names.
pub(super) fn schemas() -> Vec<(&'static str, Value)> {
    vec![
        ("Error", object(json!({"error": error()}))),
        ("ChatAnswer", answer("chat.completion", "message", said())),
        ("CompletionAnswer", answer("text_completion", "text", text())),
        ("Response", response()),
        ("Usage", counts(&["prompt_tokens", "completion_tokens", "total_tokens"])),
        ("Receipt", object(json!({"seed": integer(), "logits_hash": text()}))),
        ("Model", model()),
        ("FileId", json!({"type": "string", "pattern": "^file-[0-9a-f]{24}$"})),
        ("File", file()),
        ("Deleted", deleted()),
        ("BatchId", json!({"type": "string", "pattern": "^batch_[0-9a-f]{24}$"})),
        ("Batch", batch()),
        ("Health", object(json!({"status": {"const": "ok"}}))),
        ("Tokenized", tokenized()),
        ("Detokenized", object(json!({"prompt": text(), "content": text()}))),
        ("TokenizerInfo", tokenizer_info()),
    ]
}

/// A list of these.
pub(super) fn list(items: Value) -> Value {
    object(json!({"object": {"const": "list"}, "data": array(items)}))
}

fn error() -> Value {
    object(json!({
        "message": text(),
        "type": {"enum": ["invalid_request_error", "server_error"]},
        "param": or_null(text()),
        "code": text(),
    }))
}

fn answer(kind: &str, content: &str, schema_of_content: Value) -> Value {
    let mut choice = object(json!({
        "index": integer(),
        "logprobs": {"type": ["object", "null"]},
        "finish_reason": {"enum": ["stop", "length", "tool_calls"]},
        "receipt": schema("Receipt"),
    }));
    choice["properties"][content] = schema_of_content;
    object(json!({
        "id": text(),
        "object": {"const": kind},
        "created": integer(),
        "model": text(),
        "choices": array(choice),
        "usage": schema("Usage"),
        "system_fingerprint": text(),
    }))
}

/// A text, or calls of functions.
fn said() -> Value {
    let mut said = object(json!({
        "role": {"const": "assistant"},
        "content": or_null(text()),
        "refusal": {"type": "null"},
    }));
    let function = object(json!({"name": text(), "arguments": text()}));
    let call = json!({"id": text(), "type": {"const": "function"}, "function": function});
    said["properties"]["tool_calls"] = array(object(call));
    said
}

/// A message, or a call of a function.
fn item() -> Value {
    let status = json!({"enum": ["in_progress", "completed", "incomplete"]});
    let message = json!({
        "id": text(),
        "type": {"const": "message"},
        "status": status,
        "role": {"const": "assistant"},
        "content": array(json!({"type": "object"})),
    });
    let call = json!({
        "id": text(),
        "type": {"const": "function_call"},
        "status": status,
        "call_id": text(),
        "name": text(),
        "arguments": text(),
    });
    json!({"anyOf": [object(message), object(call)]})
}

fn response() -> Value {
    object(json!({
        "id": text(),
        "object": {"const": "response"},
        "created_at": integer(),
        "status": {"enum": ["completed", "incomplete"]},
        "incomplete_details": {"type": ["object", "null"]},
        "model": text(),
        "output": array(item()),
        "parallel_tool_calls": {"type": "boolean"},
        "text": {"type": "object"},
        "tool_choice": {"type": ["string", "object"]},
        "tools": array(json!({"type": "object"})),
        "usage": {"type": "object"},
        "receipt": schema("Receipt"),
    }))
}

fn model() -> Value {
    object(json!({
        "id": text(),
        "object": {"const": "model"},
        "created": integer(),
        "owned_by": text(),
        "max_model_len": integer(),
    }))
}

fn file() -> Value {
    object(json!({
        "id": schema("FileId"),
        "object": {"const": "file"},
        "bytes": integer(),
        "created_at": integer(),
        "filename": text(),
        "purpose": {"enum": ["batch", "batch_output"]},
        "status": {"const": "processed"},
    }))
}

fn deleted() -> Value {
    object(json!({"id": schema("FileId"), "object": {"const": "file"}, "deleted": {"const": true}}))
}

fn batch() -> Value {
    let error = object(json!({
        "code": text(),
        "line": or_null(integer()),
        "message": text(),
        "param": or_null(text()),
    }));
    let mut batch = object(json!({
        "id": schema("BatchId"),
        "object": {"const": "batch"},
        "endpoint": text(),
        "errors": or_null(list(error)),
        "input_file_id": schema("FileId"),
        "completion_window": text(),
        "status": {"enum": [
            "validating", "failed", "in_progress", "finalizing", "completed", "cancelling",
            "cancelled",
        ]},
        "output_file_id": or_null(schema("FileId")),
        "error_file_id": or_null(schema("FileId")),
        "created_at": integer(),
        "request_counts": counts(&["total", "completed", "failed"]),
        "metadata": {"type": ["object", "null"]},
    }));
    for stage in [
        "in_progress",
        "expires",
        "finalizing",
        "completed",
        "failed",
        "expired",
        "cancelling",
        "cancelled",
    ] {
        batch["properties"][format!("{stage}_at")] = or_null(integer());
    }
    batch
}

fn tokenized() -> Value {
    object(json!({"tokens": array(integer()), "count": integer(), "max_model_len": integer()}))
}

fn tokenizer_info() -> Value {
    object(json!({
        "bos_token": or_null(text()),
        "eos_token": or_null(text()),
        "add_bos_token": {"type": "boolean"},
        "chat_template": text(),
        "vocab_size": integer(),
        "model_max_length": integer(),
    }))
}

fn counts(names: &[&str]) -> Value {
    let counts: Map<String, Value> =
        names.iter().map(|&name| (name.to_owned(), integer())).collect();
    object(Value::Object(counts))
}

fn integer() -> Value {
    json!({"type": "integer"})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn or_null(schema: Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}
