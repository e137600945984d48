//! The shape of an answer.

use super::super::calls::Call;
use super::super::choice::Choice;
use super::super::completion::{Heading, Usage};
use super::super::request::Request;
use serde_json::{Map, Value, json};

/// What stands in an answer besides what the model says.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    heading: Heading,
    /// What of the request is told again, and what was made of it.
    asked: Map<String, Value>,
}

/// How far an answer is, as the API calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    InProgress,
    Completed,
    /// It has as many tokens as it may have.
    Incomplete,
    Failed,
}

impl Stage {
    /// That of an answer which has ended.
    pub fn of(choice: &Choice) -> Stage {
        match choice.finish_reason {
            "length" => Stage::Incomplete,
            _ => Stage::Completed,
        }
    }

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Stage::InProgress => "in_progress",
            Stage::Completed => "completed",
            Stage::Incomplete => "incomplete",
            Stage::Failed => "failed",
        }
    }
}

impl ResponseHead {
    /// That of the answer to a request.
    pub fn new(heading: Heading, request: &Request) -> ResponseHead {
        let params = &request.params;
        let mut asked = request.told_again.clone().unwrap_or_default();
        asked.extend([
            ("max_output_tokens".to_owned(), json!(params.max_tokens)),
            ("temperature".to_owned(), json!(params.sampling.temperature)),
            ("top_logprobs".to_owned(), json!(params.n_logprobs.unwrap_or(0))),
            ("top_p".to_owned(), json!(params.sampling.top_p)),
        ]);
        ResponseHead { heading, asked }
    }

    /// The whole answer.
    pub(in super::super) fn whole(&self, choice: &Choice, usage: Usage) -> Value {
        let stage = Stage::of(choice);
        let output = match choice.calls() {
            [] => vec![self.message(stage, json!([part_of(choice)]))],
            // A call that is cut off is none.
            calls => {
                let call = |(idx, call)| self.call(idx, call, Stage::Completed);
                calls.iter().enumerate().map(call).collect()
            }
        };
        let mut response = self.object(stage, json!(output));
        response["usage"] = used(usage);
        response["receipt"] = json!(choice.receipt);
        response
    }

    /// The name of the one message that it has.
    pub(super) fn message_id(&self) -> String {
        format!("msg_{}", self.heading.name)
    }

    /// That message.
    pub(super) fn message(&self, stage: Stage, content: Value) -> Value {
        json!({
            "id": self.message_id(),
            "type": "message",
            "role": "assistant",
            "status": stage.name(),
            "content": content,
        })
    }

    /// The name of one of the calls that it has.
    pub(super) fn call_id(&self, idx: usize) -> String {
        format!("fc_{}_{idx}", self.heading.name)
    }

    /// That call, whose arguments are told once it has begun.
    pub(super) fn call(&self, idx: usize, call: &Call, stage: Stage) -> Value {
        let function = &call.function;
        let arguments = if stage == Stage::InProgress { "" } else { &function.arguments };
        json!({
            "id": self.call_id(idx),
            "type": "function_call",
            "status": stage.name(),
            "call_id": call.id,
            "name": function.name,
            "arguments": arguments,
        })
    }

    /// The answer as far as it is.
    pub(super) fn object(&self, stage: Stage, output: Value) -> Value {
        let is_cut_off = stage == Stage::Incomplete;
        let mut object = json!({
            "id": self.heading.id(),
            "object": "response",
            "created_at": self.heading.created,
            "status": stage.name(),
            "background": false,
            "error": null,
            "incomplete_details": is_cut_off.then(|| json!({ "reason": "max_output_tokens" })),
            "model": self.heading.model,
            "output": output,
            "previous_response_id": null,
            "reasoning": { "effort": null, "summary": null },
            "store": false,
            "truncation": "disabled",
            "usage": null,
            "system_fingerprint": self.heading.system_fingerprint,
        });
        if let Value::Object(object) = &mut object {
            object.extend(self.asked.clone());
        }
        object
    }
}

/// The text of an answer in its message.
pub(super) fn part_of(choice: &Choice) -> Value {
    part(choice.text(), &json!(choice.chat_logprobs()))
}

/// A text in a message.
pub(super) fn part(text: &str, logprobs: &Value) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": logprobs })
}

/// How many tokens there were.
pub(super) fn used(usage: Usage) -> Value {
    let details = usage.prompt_tokens_details.unwrap_or_default();
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": { "cached_tokens": details.cached_tokens, "cache_write_tokens": 0 },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": usage.total_tokens,
    })
}
