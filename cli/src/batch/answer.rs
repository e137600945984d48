//! The shape of what is written.

use super::fault::Fault;
use super::line::{Params, Prompt};
use super::logprobs::Logprobs;
use crate::jobs::Key;
use gatefold::engine::{FinishReason, Generated};
use gatefold::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

/// How every line of an output begins.
pub(super) const BEGINNING: &str = "{\"id\":\"batch_req_";

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

/// The answers to a request.
#[derive(Debug, Serialize)]
pub(super) struct Completion {
    pub id: String,
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    pub model: String,
    pub choices: Vec<Choice>,
    pub usage: Usage,
    pub system_fingerprint: String,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Usage {
    pub prompt_tokens: usize,
    pub completion_tokens: usize,
    pub total_tokens: usize,
}

/// An answer.
#[derive(Debug, Serialize)]
pub(super) struct Choice {
    index: usize,
    #[serde(flatten)]
    said: Said,
    logprobs: Option<Logprobs>,
    finish_reason: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Message { role: &'static str, content: String, refusal: () },
    Text(String),
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

/// The name of a completion.
pub(super) fn completion_id(key: &Key, prompt: &Prompt) -> (String, &'static str) {
    match prompt {
        Prompt::Chat(_) => (format!("chatcmpl-{}", short(key)), "chat.completion"),
        Prompt::Texts(_) => (format!("cmpl-{}", short(key)), "text_completion"),
    }
}

/// As much of a key as a name needs.
fn short(key: &Key) -> &str {
    &key.as_str()[..24]
}

impl Choice {
    /// The answer with this number.
    pub fn new(
        tokenizer: &Tokenizer,
        prompt: &Prompt,
        params: &Params,
        index: usize,
        generated: Generated,
    ) -> Choice {
        let logprobs = params.n_logprobs.map(|_| Logprobs::new(tokenizer, prompt, &generated));
        let said = match prompt {
            Prompt::Chat(_) => {
                Said::Message { role: "assistant", content: generated.text, refusal: () }
            }
            Prompt::Texts(_) => Said::Text(generated.text),
        };
        let finish_reason = match generated.finish_reason {
            FinishReason::EndOfText | FinishReason::StopString => "stop",
            FinishReason::Length
            | FinishReason::Context
            | FinishReason::Deadline
            | FinishReason::Cancelled => "length",
        };
        Choice { index, said, logprobs, finish_reason }
    }
}

/// A line of an output, as far as it is read again.
#[derive(Debug, Deserialize)]
pub(super) struct Kept {
    pub id: AnswerId,
    pub custom_id: Option<String>,
    pub response: KeptResponse,
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
