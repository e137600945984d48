//! What is wrong with a request.

use serde::ser::{Serialize, SerializeStruct, Serializer};
use serde_json::Value;

/// Why a request gets no answer; written as OpenAI's error object. A status from 500 on is not the
/// request's fault: it is tried again by the next run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// HTTP's status: 400 and above for what is the request's fault, 500 and above for what is not.
    pub status: u16,
    /// For programs: `invalid_value`.
    pub code: &'static str,
    /// Where in the request it is: `temperature`, in a line of a batch `body.temperature`.
    pub param: Option<String>,
    /// For people: what was found and what was expected, in one line.
    pub message: String,
}

impl Fault {
    /// A fault of the request.
    pub fn new(code: &'static str, message: impl Into<String>) -> Fault {
        Fault { status: 400, code, param: None, message: message.into() }
    }

    /// A fault of the request at one place of it.
    pub fn at(code: &'static str, param: impl Into<String>, message: impl Into<String>) -> Fault {
        Fault { param: Some(param.into()), ..Fault::new(code, message) }
    }

    /// A fault that is not the request's.
    pub fn ours(code: &'static str, message: impl Into<String>) -> Fault {
        Fault { status: 500, ..Fault::new(code, message) }
    }

    /// OpenAI's name for who is to blame.
    fn kind(&self) -> &'static str {
        if self.status < 500 { "invalid_request_error" } else { "server_error" }
    }

    /// The same with another status of HTTP.
    pub fn with_status(self, status: u16) -> Fault {
        Fault { status, ..self }
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Fault", 4)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("type", self.kind())?;
        object.serialize_field("param", &self.param)?;
        object.serialize_field("code", self.code)?;
        object.end()
    }
}

/// Characters of a value that are quoted.
const MOST_QUOTED: usize = 60;

/// A value as JSON, on one line, shortened if it is long.
pub(crate) fn quoted(value: &Value) -> String {
    let what = match value {
        Value::Array(values) if values.len() > 4 => return format!("an array of {}", values.len()),
        Value::Object(_) => return "an object".into(),
        // Not all of a long text is needed to see that it is one.
        Value::String(text) => Value::from(text.chars().take(MOST_QUOTED + 1).collect::<String>()),
        value => {
            let mut sorted = value.clone();
            sorted.sort_all_objects();
            sorted
        }
    };
    let json = what.to_string();
    match json.char_indices().nth(MOST_QUOTED) {
        Some((end, _)) => format!("{}...", &json[..end]),
        None => json,
    }
}
