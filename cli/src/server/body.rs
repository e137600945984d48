//! Bodies of requests.

use crate::openai::{Fault, Fields, MOST_BODY_BYTES};
use axum::body::{Body, HttpBody};
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::timeout;

/// How long a body may take.
const MOST_TIME: Duration = Duration::from_secs(60);

/// Bytes of a body that is too large which are read nevertheless: most clients look for an answer only
/// when they have sent everything.
const MOST_DISCARDED: usize = 16 * MOST_BODY_BYTES;

/// Reads a body.
///
/// # Errors
/// If it is too large, takes too long or ends early.
pub(super) async fn read(body: Body) -> Result<Vec<u8>, Fault> {
    let too_slow = |_| {
        let message = format!("the body has not come within {} seconds", MOST_TIME.as_secs());
        Fault::new("request_timeout", message).with_status(408)
    };
    timeout(MOST_TIME, read_all(body)).await.map_err(too_slow)?
}

async fn read_all(mut body: Body) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let mut n_bytes = 0;
    let is_hopeless = |n_bytes: usize| n_bytes > MOST_DISCARDED;
    let n_announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    while !is_hopeless(n_announced.max(n_bytes)) {
        let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await else { break };
        let frame = frame.map_err(|_| Fault::new("incomplete_body", "the body ends early"))?;
        let Ok(data) = frame.into_data() else { continue };
        n_bytes += data.len();
        if n_bytes <= MOST_BODY_BYTES {
            bytes.extend_from_slice(&data);
        }
    }
    let n_bytes = n_bytes.max(n_announced);
    if n_bytes > MOST_BODY_BYTES {
        let message =
            format!("the body has {n_bytes} bytes or more; expected {MOST_BODY_BYTES} at most");
        return Err(Fault::new("request_too_large", message).with_status(413));
    }
    Ok(bytes)
}

/// Reads a body that nobody asks for: a socket that is closed with something unread takes the answer
/// with it.
pub(super) async fn discard(body: Body) {
    // Whatever is wrong with it, the answer is another.
    let _ = read(body).await;
}

/// The fields of a body.
///
/// # Errors
/// If it is no object in JSON.
pub(super) fn fields(bytes: &[u8]) -> Result<Fields, Fault> {
    let not_json = |error| Fault::new("invalid_json", format!("the body is not JSON: {error}"));
    Fields::of_root(serde_json::from_slice(bytes).map_err(not_json)?, "the body")
}
