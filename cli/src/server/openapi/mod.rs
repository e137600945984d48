//! What there is, for programs: an OpenAPI document, 3.1.
//!
//! `requests` and `answers` have the schemas of what is sent and of what comes back, `described` those
//! of functions and forms in requests. A test holds that the paths are those of the router, and their
//! methods; that fields are known, and names of others not.
//!
//! The format: <https://spec.openapis.org/oas/v3.1.0>.

mod answers;
mod described;
mod requests;

use super::reply::json;
use axum::response::Response;
use serde_json::{Map, Value, json};

/// `GET /openapi.json`.
pub(super) async fn document() -> Response {
    json(&json!({
        "openapi": "3.1.0",
        "info": {
            "title": "gatefold serve",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "OpenAI's API on one engine. Fields that change nothing are accepted; what \
                would change the answer and is not done is refused by name.",
        },
        "security": [{}, { "key": [] }],
        "paths": paths(),
        "components": {
            "securitySchemes": { "key": { "type": "http", "scheme": "bearer" } },
            "responses": { "Error": content("What is wrong", "application/json", schema("Error")) },
            "schemas": schemas(),
        },
    }))
}

/// What there is under each path.
pub(super) fn paths() -> Value {
    let file = || vec![parameter("path", "id", schema("FileId"))];
    let batch = || vec![parameter("path", "id", schema("BatchId"))];
    let page = |most: usize| {
        vec![
            parameter("query", "limit", json!({"type": "integer", "minimum": 1, "maximum": most})),
            parameter("query", "order", json!({"enum": ["asc", "desc"], "default": "desc"})),
            parameter("query", "after", json!({"type": "string"})),
        ]
    };
    let purpose = json!({"enum": ["batch", "batch_output"]});
    let files = [page(10_000), vec![parameter("query", "purpose", purpose)]].concat();
    let model = vec![parameter("path", "id", json!({"type": "string", "minLength": 1}))];
    json!({
        "/v1/chat/completions": {
            "post": sends("Answers to a conversation", "ChatRequest", streamed("ChatAnswer")),
        },
        "/v1/completions": {
            "post": sends(
                "What follows texts, and how probable they are",
                "CompletionRequest",
                streamed("CompletionAnswer"),
            ),
        },
        "/v1/responses": {
            "post": sends(
                "An answer to a conversation, which is not stored",
                "ResponsesRequest",
                streamed("Response"),
            ),
        },
        "/v1/models": { "get": asks("The model", Vec::new(), list("Model")) },
        "/v1/models/{id}": { "get": asks("The model", model, one("Model")) },
        "/v1/files": {
            "get": asks("Files", files, list("File")),
            "post": with_body("Keep a file", "multipart/form-data", "FileRequest", one("File")),
        },
        "/v1/files/{id}": {
            "get": asks("What is known of a file", file(), one("File")),
            "delete": asks("Delete a file that no batch needs", file(), one("Deleted")),
        },
        "/v1/files/{id}/content": {
            "get": asks(
                "The bytes of a file",
                file(),
                content("The bytes", "application/octet-stream", json!({})),
            ),
        },
        "/v1/batches": {
            "get": asks("Batches", page(100), list("Batch")),
            "post": sends(
                "Answer the requests in a file, while nobody waits",
                "BatchRequest",
                one("Batch"),
            ),
        },
        "/v1/batches/{id}": { "get": asks("How far a batch is", batch(), one("Batch")) },
        "/v1/batches/{id}/cancel": {
            "post": asks("End a batch with what it has", batch(), one("Batch")),
        },
        "/health": { "get": asks("Whether it answers", Vec::new(), one("Health")) },
        "/metrics": {
            "get": asks(
                "Counters, for Prometheus",
                Vec::new(),
                content("The counters", super::metrics::CONTENT_TYPE, json!({"type": "string"})),
            ),
        },
        "/openapi.json": {
            "get": asks(
                "This document",
                Vec::new(),
                content("It", "application/json", json!({"type": "object"})),
            ),
        },
        "/tokenize": { "post": sends("The tokens of a text", "TokenizeRequest", one("Tokenized")) },
        "/detokenize": {
            "post": sends("The text of tokens", "DetokenizeRequest", one("Detokenized")),
        },
        "/tokenizer_info": {
            "get": asks("How conversations are written", Vec::new(), one("TokenizerInfo")),
        },
    })
}

fn schemas() -> Value {
    let all = requests::schemas().into_iter().chain(answers::schemas());
    Value::Object(all.map(|(name, schema)| (name.to_owned(), schema)).collect())
}

/// The schema of this name.
fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// An object that must have these fields.
fn object(fields: Value) -> Value {
    let names: Vec<&String> = fields.as_object().into_iter().flat_map(Map::keys).collect();
    json!({ "type": "object", "required": names, "properties": fields })
}

/// An object that may have these fields, and no others.
fn fields(required: &[&str], fields: Value) -> Value {
    json!({
        "type": "object",
        "required": required,
        "properties": fields,
        "additionalProperties": false,
    })
}

fn array(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn parameter(place: &str, name: &str, schema: Value) -> Value {
    json!({ "name": name, "in": place, "required": place == "path", "schema": schema })
}

fn content(what: &str, content_type: &str, schema: Value) -> Value {
    let mut types = Map::new();
    types.insert(content_type.into(), json!({ "schema": schema }));
    json!({ "description": what, "content": types })
}

fn one(name: &str) -> Value {
    content("The answer", "application/json", schema(name))
}

fn list(name: &str) -> Value {
    content("The list", "application/json", answers::list(schema(name)))
}

/// An answer as a whole, or as events.
fn streamed(name: &str) -> Value {
    let mut answer =
        content("The answer; where it is streamed, events", "application/json", schema(name));
    answer["content"]["text/event-stream"] = json!({ "schema": {} });
    answer
}

/// An operation that is asked for something.
fn asks(summary: &str, parameters: Vec<Value>, answer: Value) -> Value {
    let error = json!({ "$ref": "#/components/responses/Error" });
    json!({
        "summary": summary,
        "parameters": parameters,
        "responses": { "200": answer, "4XX": error, "5XX": error },
    })
}

/// An operation that is sent an object.
fn sends(summary: &str, request: &str, answer: Value) -> Value {
    with_body(summary, "application/json", request, answer)
}

fn with_body(summary: &str, content_type: &str, request: &str, answer: Value) -> Value {
    let mut operation = asks(summary, Vec::new(), answer);
    operation["requestBody"] = content("What is asked", content_type, schema(request));
    operation["requestBody"]["required"] = true.into();
    operation
}
