//! Batches: asked for, listed, looked at and cancelled.

use super::answers::blocking;
use super::body;
use super::files::fault_of;
use super::pages::{Page, Query};
use super::reply::json;
use super::routes::{App, Name, Reply};
use crate::openai::{Endpoint, Fault, Fields, quoted};
use crate::store::Asked;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use serde_json::{Map, Value};

/// The time that clients give a batch at OpenAI, the one that there is. Here a batch takes as long as it
/// takes, and does not expire.
const WINDOW: &str = "24h";

/// Pairs of metadata, and characters of their names and values, as at OpenAI.
const MOST_METADATA: (usize, usize, usize) = (16, 64, 512);

/// `POST /v1/batches`.
pub(super) async fn create(State(shared): App, body: Body) -> Reply {
    let bytes = body::read(body).await?;
    let store = shared.store()?;
    let asked = asked(body::fields(&bytes)?)?;
    let record = blocking(move || Ok(store.create_batch(asked).map_err(fault_of)?)).await?;
    Ok(json(&record))
}

fn asked(mut body: Fields) -> Result<Asked, Fault> {
    let input_file_id = body.string("input_file_id")?;
    let input_file_id = body.required("input_file_id", input_file_id)?;
    let endpoint = body.string("endpoint")?;
    let endpoint = body.required("endpoint", endpoint)?;
    if Endpoint::by_path(&endpoint).is_none() {
        let endpoints = "\"/v1/chat/completions\" or \"/v1/completions\"";
        return Err(body.wrong("endpoint", quoted(&endpoint.into()), endpoints));
    }
    let completion_window = body.string("completion_window")?;
    let completion_window = body.required("completion_window", completion_window)?;
    if completion_window != WINDOW {
        let expected =
            format!("\"{WINDOW}\", as at OpenAI; here a batch takes as long as it takes");
        return Err(body.wrong("completion_window", quoted(&completion_window.into()), expected));
    }
    let metadata = metadata(&mut body)?;
    body.finish(&[])?;
    Ok(Asked { input_file_id, endpoint, completion_window, metadata })
}

fn metadata(body: &mut Fields) -> Result<Option<Map<String, Value>>, Fault> {
    let Some(metadata) = body.take("metadata") else { return Ok(None) };
    let (most_pairs, most_name, most_value) = MOST_METADATA;
    let is_short = |text: &str, most| text.chars().count() <= most;
    let is_pair = |(name, value): (&String, &Value)| {
        is_short(name, most_name) && value.as_str().is_some_and(|value| is_short(value, most_value))
    };
    match metadata {
        Value::Object(pairs) if pairs.len() <= most_pairs && pairs.iter().all(is_pair) => {
            Ok(Some(pairs))
        }
        metadata => {
            let expected = format!(
                "an object of {most_pairs} strings at most, with {most_value} characters and names of {most_name}"
            );
            Err(body.wrong("metadata", quoted(&metadata), expected))
        }
    }
}

/// `GET /v1/batches`.
pub(super) async fn list(State(shared): App, RawQuery(query): RawQuery) -> Reply {
    let store = shared.store()?;
    let mut query = Query::of(query.as_deref());
    let page = Page::of(&mut query, 20, 100)?;
    query.finish()?;
    Ok(json(&page.list(store.batches(), |batch| &batch.id)?))
}

/// `GET /v1/batches/{id}`.
pub(super) async fn batch(State(shared): App, Name(id): Name) -> Reply {
    Ok(json(&shared.store()?.batch(&id).map_err(fault_of)?))
}

/// `POST /v1/batches/{id}/cancel`.
pub(super) async fn cancel(State(shared): App, Name(id): Name, body: Body) -> Reply {
    // Clients send an empty one.
    body::discard(body).await;
    let store = shared.store()?;
    Ok(json(&blocking(move || Ok(store.cancel_batch(&id).map_err(fault_of)?)).await?))
}
