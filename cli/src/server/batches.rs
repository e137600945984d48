//! Batches: asked for, listed, looked at and cancelled.

use super::answers::blocking;
use super::body;
use super::files::fault_of;
use super::paging::{Paging, Query};
use super::reply::json;
use super::routes::{App, Name, Reply};
use crate::openai::{Endpoint, Fault, Fields, quoted};
use crate::store::{Asked, BatchRecord, Id, Kind};
use axum::body::Body;
use axum::extract::{RawQuery, State};

/// The time that clients give a batch at OpenAI, the one that there is. Here a batch takes as long as it
/// takes, and does not expire.
const WINDOW: &str = "24h";

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
    Endpoint::by_path(&endpoint, &body, "endpoint")?;
    let completion_window = body.string("completion_window")?;
    let completion_window = body.required("completion_window", completion_window)?;
    if completion_window != WINDOW {
        let expected =
            format!("\"{WINDOW}\", as at OpenAI; here a batch takes as long as it takes");
        return Err(body.wrong("completion_window", quoted(&completion_window.into()), expected));
    }
    let metadata = body.metadata()?;
    body.finish(&[])?;
    Ok(Asked { input_file_id, endpoint, completion_window, metadata })
}

/// `GET /v1/batches`.
pub(super) async fn list(State(shared): App, RawQuery(query): RawQuery) -> Reply {
    let store = shared.store()?;
    let mut query = Query::of(query.as_deref());
    let paging = Paging::of(&mut query, 20, 100)?;
    query.finish()?;
    let list = blocking(move || {
        let parse = |name: &str| Id::parse(Kind::Batch, name);
        Ok(paging.list(parse, |batch: &BatchRecord| &batch.id, |part| store.batches(part))?)
    });
    Ok(json(&list.await?))
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
