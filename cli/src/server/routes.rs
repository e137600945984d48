//! What is found under which path, and what holds for all of it.

use super::Shared;
use super::answers::{answer, random_name};
use super::batches;
use super::body;
use super::files;
use super::metrics;
use super::openapi;
use super::page;
use super::reply::{Refused, json};
use super::service::Service;
use super::tokens;
use crate::openai::{Endpoint, Fault, quoted};
use axum::Router;
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde_json::{Value, json};
use std::sync::Arc;

/// The paths that are counted by name, with what is below them.
const PATHS: [&str; 11] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/models",
    "/v1/files",
    "/v1/batches",
    "/health",
    "/metrics",
    "/tokenize",
    "/detokenize",
    "/tokenizer_info",
];

/// What a client calls its request.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of such a name.
const MOST_ID_BYTES: usize = 128;

/// The methods that there are.
const METHODS: &str = "GET, POST, DELETE, OPTIONS";

/// How long a browser may remember that it may ask, in seconds.
const PREFLIGHT_AGE: &str = "600";

/// What handlers are given of the server.
pub(super) type App = State<Arc<Shared>>;

/// What they come to.
pub(super) type Reply = Result<Response, Refused>;

/// The name in a path.
pub(super) struct Name(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Name, Refused> {
        let name = Path::<String>::from_request_parts(parts, state).await;
        let wrong = |_| Fault::new("invalid_url", "the path has bytes that are no text");
        Ok(Name(name.map(|Path(name)| name).map_err(wrong)?))
    }
}

/// All that the server has.
pub(super) fn router(shared: Arc<Shared>) -> Router {
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    router
        .merge(page::router())
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&shared), guard))
        .with_state(shared)
}

/// Its paths.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<Shared>>)> {
    let chat = |State(shared): App, body| answer(shared, Endpoint::Chat, body);
    let texts = |State(shared): App, body| answer(shared, Endpoint::Texts, body);
    let responses = |State(shared): App, body| answer(shared, Endpoint::Responses, body);
    vec![
        (Endpoint::Chat.path(), post(chat)),
        (Endpoint::Texts.path(), post(texts)),
        (Endpoint::Responses.path(), post(responses)),
        ("/v1/models", get(models)),
        ("/v1/models/{*id}", get(model)),
        ("/v1/files", get(files::list).post(files::upload)),
        ("/v1/files/{id}", get(files::file).delete(files::delete)),
        ("/v1/files/{id}/content", get(files::content)),
        ("/v1/batches", get(batches::list).post(batches::create)),
        ("/v1/batches/{id}", get(batches::batch)),
        ("/v1/batches/{id}/cancel", post(batches::cancel)),
        ("/health", get(health)),
        ("/metrics", get(metrics::page)),
        ("/openapi.json", get(openapi::document)),
        ("/tokenize", post(tokens::tokenize)),
        ("/detokenize", post(tokens::detokenize)),
        ("/tokenizer_info", get(tokens::info)),
    ]
}

/// Sees to who may ask, names the request, and counts.
async fn guard(State(shared): App, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    let path = PATHS.into_iter().find(|path| is_below(uri.path(), path)).unwrap_or("other");
    let cors = shared.access.cors(headers);
    let mut response = match shared.access.check(method, uri, headers) {
        Err(fault) => {
            body::discard(request.into_body()).await;
            Refused::from(fault).into_response()
        }
        Ok(()) if method == Method::OPTIONS => preflight(headers),
        Ok(()) => next.run(request).await,
    };
    if let Some(origin) = cors {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, REQUEST_ID.into());
    }
    response.headers_mut().insert(REQUEST_ID, id);
    shared.metrics.count(path, response.status().as_u16());
    response
}

/// Whether a path is this one or leads on from it.
fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// By what a client finds its request again: what it calls it, where that is short and plain, or else a
/// name of ours.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/".contains(byte);
    let is_id = |id: &&HeaderValue| {
        (1..=MOST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(is_plain)
    };
    let names = [REQUEST_ID, HeaderName::from_static("x-client-request-id")];
    let told = names.iter().filter_map(|name| headers.get(name)).find(is_id).cloned();
    told.unwrap_or_else(|| {
        HeaderValue::from_str(&format!("req_{}", random_name())).expect("digits are a value")
    })
}

/// What a browser hears that asks whether a page may ask. Without the origin's own header, it may not.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let mut insert = |name: HeaderName, value| headers.insert(name, value);
    insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE));
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    response
}

async fn health(State(shared): App) -> Reply {
    let service = shared.service()?;
    // An engine that has died answers nothing any more.
    if service.handle.status().is_none() {
        return Err(Fault::ours("engine_stopped", "the engine has stopped")
            .with_status(503)
            .into());
    }
    Ok(json(&json!({ "status": "ok" })))
}

async fn models(State(shared): App) -> Reply {
    let models = [description(shared.service()?)];
    Ok(json(&json!({ "object": "list", "data": models })))
}

async fn model(State(shared): App, Name(id): Name) -> Reply {
    let service = shared.service()?;
    if id != service.name {
        let [id, name] = [id.as_str(), &service.name].map(|name| quoted(&name.into()));
        let message = format!("there is no model {id}; this server has {name}");
        return Err(Fault::at("model_not_found", "model", message).with_status(404).into());
    }
    Ok(json(&description(service)))
}

fn description(service: &Service) -> Value {
    json!({
        "id": service.name,
        "object": "model",
        "created": service.created,
        "owned_by": "gatefold",
        "max_model_len": service.context_len,
    })
}

async fn unknown(request: Request) -> Refused {
    let path = quoted(&request.uri().path().into());
    let message = format!("there is nothing at {path}; OpenAI's API is below /v1");
    body::discard(request.into_body()).await;
    Fault::new("unknown_url", message).with_status(404).into()
}

async fn wrong_method(request: Request) -> Refused {
    let (method, path) = (request.method(), quoted(&request.uri().path().into()));
    let message = format!("{path} is not asked with the method {method}");
    body::discard(request.into_body()).await;
    Fault::new("method_not_allowed", message).with_status(405).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_has_every_path_and_no_other() {
        let document = openapi::paths();
        let documented: BTreeSet<&str> =
            document.as_object().unwrap().keys().map(String::as_str).collect();
        let routes = routes().into_iter().map(|(path, _)| path.replace("{*", "{"));
        let routes: BTreeSet<String> = routes.collect();
        assert_eq!(documented, routes.iter().map(String::as_str).collect());
    }
}
