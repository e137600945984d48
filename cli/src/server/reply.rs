//! The form of answers and errors.

use crate::flags::name_flags;
use crate::openai::Fault;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

/// What OpenAI's clients heed before the status.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// A value as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Response {
    let json = serde_json::to_vec(value).expect("what is answered has texts as keys");
    of_type("application/json", json)
}

/// A content of this type.
pub(super) fn of_type(content_type: &'static str, content: impl Into<Body>) -> Response {
    let mut response = Response::new(content.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Why there is no answer, and when to ask again, if that helps.
#[derive(Debug)]
pub(super) struct Refused {
    pub fault: Fault,
    /// Seconds.
    pub retry_after: Option<u64>,
}

impl Refused {
    /// The server cannot answer now.
    pub fn busy(code: &'static str, message: &str, retry_after: u64) -> Refused {
        let fault = Fault::ours(code, message).with_status(503);
        Refused { fault, retry_after: Some(retry_after) }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Refused {
        Refused { fault, retry_after: None }
    }
}

/// A fault with the program's flags in place of the library's settings.
pub(super) fn with_flags(fault: &Fault) -> Fault {
    Fault { message: name_flags(&fault.message), ..fault.clone() }
}

/// An error in OpenAI's form.
pub(super) fn error_object(fault: &Fault) -> serde_json::Value {
    json!({ "error": with_flags(fault) })
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused { fault, retry_after } = self;
        let mut response = json(&error_object(&fault));
        *response.status_mut() =
            StatusCode::from_u16(fault.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        match retry_after {
            Some(seconds) => {
                headers.insert(header::RETRY_AFTER, seconds.into());
            }
            // Whoever asks again is answered the same.
            None if fault.status >= 500 => {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            None => {}
        }
        if fault.status == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
