//! A line of the input: what is asked, or what is wrong with it.

use crate::openai::{Endpoint, Fault, Fields, Request, quoted};
use serde_json::{Value, json};

/// A line, understood as far as it can be.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The name that the request was given.
    pub custom_id: Option<String>,
    /// Where it goes.
    pub url: Option<String>,
    /// What is asked.
    pub request: Result<Request, Fault>,
    /// The line in a form that spaces and the order of fields do not change.
    pub canonical: Vec<u8>,
}

impl Line {
    /// Understands a line.
    pub fn parse(text: &[u8]) -> Line {
        // Editors on Windows put it before the first line.
        let text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
        match serde_json::from_slice::<Value>(text) {
            Ok(value) => {
                let mut sorted = value.clone();
                sorted.sort_all_objects();
                let canonical = sorted.to_string().into_bytes();
                let text = |name| value.get(name).and_then(Value::as_str).map(str::to_owned);
                let (custom_id, url) = (text("custom_id"), text("url"));
                Line { custom_id, url, request: request(value), canonical }
            }
            Err(error) => {
                let fault = Fault::new("invalid_json", format!("the line is not JSON: {error}"));
                Line { custom_id: None, url: None, request: Err(fault), canonical: text.into() }
            }
        }
    }

    /// A line of more bytes than are read.
    pub fn too_long(n_bytes: u64, most: usize) -> Line {
        let message = format!("the line has {n_bytes} bytes; expected {most} at most");
        let fault = Fault::new("line_too_long", message);
        Line {
            custom_id: None,
            url: None,
            request: Err(fault),
            canonical: n_bytes.to_string().into(),
        }
    }
}

fn request(line: Value) -> Result<Request, Fault> {
    let mut line = Fields::of_root(line, "the line")?;
    let custom_id = line.string("custom_id")?;
    line.required("custom_id", custom_id)?;
    let method = line.string("method")?;
    let method = line.required("method", method)?;
    if method != "POST" {
        return Err(line.wrong("method", quoted(&method.into()), "\"POST\""));
    }
    let url = line.string("url")?;
    let url = line.required("url", url)?;
    let body = line.take("body");
    let mut body = Fields::of(line.required("body", body)?, "body.")?;
    let endpoint = Endpoint::by_path(&url, &line, "url")?;
    // A line of the output is whole.
    body.unsupported("stream", &json!(false))?;
    let request = Request::parse(endpoint, body)?;
    line.finish(&[])?;
    Ok(request)
}
