//! The shape of what is written.

use crate::jobs::Key;
use crate::openai::{Completion, Fault};
use serde::{Deserialize, Serialize};

/// How every line of an output begins.
pub const BEGINNING: &str = "{\"id\":\"batch_req_";

/// A line of the output.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    id: String,
    custom_id: Option<String>,
    response: Response,
    error: Option<ErrorNote>,
}

#[derive(Debug, Serialize)]
struct Response {
    status_code: u16,
    request_id: String,
    body: ResponseBody,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum ResponseBody {
    Completion(Completion),
    Fault { error: Fault },
}

/// What is wrong, in short: for readers that do not look at the status.
#[derive(Debug, Serialize)]
struct ErrorNote {
    code: &'static str,
    message: String,
}

impl Answer {
    /// The line for a request that was answered, or why not.
    pub fn new(key: &Key, custom_id: Option<String>, outcome: Result<Completion, Fault>) -> Answer {
        let error = outcome.as_ref().err();
        let error =
            error.map(|fault| ErrorNote { code: fault.code, message: fault.message.clone() });
        let (status_code, body) = match outcome {
            Ok(completion) => (200, ResponseBody::Completion(completion)),
            Err(error) => (error.status, ResponseBody::Fault { error }),
        };
        let request_id = format!("req_{}", short(key));
        let response = Response { status_code, request_id, body };
        Answer { id: format!("batch_req_{}", key.as_str()), custom_id, response, error }
    }

    /// HTTP's status of it.
    pub fn status(&self) -> u16 {
        self.response.status_code
    }
}

/// As much of a key as a name needs.
pub(super) fn short(key: &Key) -> &str {
    &key.as_str()[..24]
}

/// A line of an output, as far as it is read again.
#[derive(Debug, Deserialize)]
pub(super) struct Kept {
    pub id: AnswerId,
    pub custom_id: Option<String>,
    pub response: KeptResponse,
}

impl Kept {
    /// What tells the shard of its request: its name, or its key where it has none.
    pub fn name(&self) -> &str {
        self.custom_id.as_deref().unwrap_or(self.id.0.as_str())
    }
}

/// The response of such a line.
#[derive(Debug, Deserialize)]
pub(super) struct KeptResponse {
    pub status_code: u16,
    #[serde(default)]
    pub body: KeptBody,
}

/// The body of such a response.
#[derive(Debug, Default, Deserialize)]
pub(super) struct KeptBody {
    pub error: Option<KeptFault>,
}

/// The fault in such a body.
#[derive(Debug, Deserialize)]
pub(super) struct KeptFault {
    pub message: String,
    pub param: Option<String>,
    pub code: String,
}

/// The `id` of a line.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct AnswerId(pub Key);

impl TryFrom<String> for AnswerId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<AnswerId, &'static str> {
        let key = id.strip_prefix("batch_req_").ok_or("an id begins with batch_req_")?;
        Key::try_from(key.to_owned()).map(AnswerId)
    }
}
