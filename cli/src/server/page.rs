//! The page: a client of the API in a browser, which loads nothing from anywhere else.
//!
//! It is one document, one style and one script. The script is written in parts, a module each in spirit,
//! which are put together here: what a part uses is in those before it.

mod dense;

use self::dense::Language;
use super::Shared;
use super::reply::of_type;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};
use std::future::ready;
use std::sync::Arc;

/// What the page may do: load its own files, ask its own server, show pictures that it has in itself. No
/// text becomes markup: the one exception is parsed where nothing of it runs, and read as text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types html-as-text";

/// What goes with all of its files.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // The next program may have another page.
    (header::CACHE_CONTROL, "no-cache"),
];

/// A file of the page, as it is written.
struct File {
    path: &'static str,
    content_type: &'static str,
    language: Language,
    content: &'static str,
}

const FILES: [File; 3] = [
    File {
        path: "/",
        content_type: "text/html; charset=utf-8",
        language: Language::Markup,
        content: include_str!("page/index.html"),
    },
    File {
        path: "/style.css",
        content_type: "text/css; charset=utf-8",
        language: Language::Style,
        content: include_str!("page/style.css"),
    },
    File {
        path: "/app.js",
        content_type: "text/javascript; charset=utf-8",
        language: Language::Script,
        content: concat!(
            include_str!("page/dom.js"),
            include_str!("page/markdown.js"),
            include_str!("page/api.js"),
            include_str!("page/experts.js"),
            include_str!("page/store.js"),
            include_str!("page/receipt.js"),
            include_str!("page/message.js"),
            include_str!("page/chat.js"),
            include_str!("page/chats.js"),
            include_str!("page/summarize.js"),
            include_str!("page/batches.js"),
            include_str!("page/main.js"),
        ),
    },
];

/// Whether this is the path of a file of the page.
pub(super) fn is_part(path: &str) -> bool {
    FILES.iter().any(|file| file.path == path)
}

/// Its files.
pub(super) fn router() -> Router<Arc<Shared>> {
    FILES.into_iter().fold(Router::new(), |router, file| {
        let File { path, content_type, language, content } = file;
        let content = Bytes::from(language.dense(content));
        let tag = tag(&content);
        let answer = move |asked: HeaderMap| {
            let response = match has(&asked, &tag) {
                true => StatusCode::NOT_MODIFIED.into_response(),
                false => of_type(content_type, content.clone()),
            };
            ready(with_headers(response, &tag))
        };
        router.route(path, get(answer))
    })
}

/// What changes with a content.
fn tag(content: &[u8]) -> HeaderValue {
    let hash = Sha256::digest(content);
    let digits: String = hash[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{digits}\"")).expect("digits in quotes")
}

fn with_headers(mut response: Response, tag: &HeaderValue) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ETAG, tag.clone());
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether whoever asks has the content with this tag.
fn has(asked: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = asked.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|tags| tags.to_str().ok()).flat_map(|tags| tags.split(','));
    let mut known = known.map(|known| known.trim().trim_start_matches("W/"));
    known.any(|known| known == "*" || known == tag)
}
