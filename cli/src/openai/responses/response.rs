//! The shape of an answer.

use super::super::choice::{Receipt, finish_reason, of_answer};
use super::super::completion::{Heading, Usage};
use super::super::logprobs::chat_logprobs;
use super::super::request::Request;
use super::request::Echo;
use gatefold::engine::Generated;
use gatefold::tokenizer::Tokenizer;
use serde_json::{Value, json};

/// What stands in an answer besides what the model says.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// What tells it from others.
    name: String,
    heading: Heading,
    echo: Echo,
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
    pub fn of(generated: &Generated) -> Stage {
        match finish_reason(generated.finish_reason, false) {
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
    /// That of the answer which another endpoint would give this heading.
    pub fn new(heading: Heading, echo: Echo) -> ResponseHead {
        let name = heading.id.rsplit('-').next().unwrap_or_default().to_owned();
        ResponseHead { name, heading, echo }
    }

    /// The whole answer.
    pub fn whole(
        &self,
        tokenizer: &Tokenizer,
        request: &Request,
        generated: &Generated,
        receipt: &Receipt,
        usage: Usage,
    ) -> Value {
        let stage = Stage::of(generated);
        let logprobs = match request.params.n_logprobs {
            Some(_) => chat_logprobs(of_answer(tokenizer, request, generated)),
            None => Vec::new(),
        };
        let part = part(&generated.text, &json!(logprobs));
        let mut response = self.object(stage, json!([self.message(stage, json!([part]))]));
        response["usage"] = used(usage);
        response["receipt"] = json!(receipt);
        response
    }

    /// The name of the one message that it has.
    pub(super) fn message_id(&self) -> String {
        format!("msg_{}", self.name)
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

    /// The answer as far as it is.
    pub(super) fn object(&self, stage: Stage, output: Value) -> Value {
        let Echo { instructions, metadata, max_output_tokens, temperature, top_p, top_logprobs } =
            &self.echo;
        let is_cut_off = stage == Stage::Incomplete;
        json!({
            "id": format!("resp_{}", self.name),
            "object": "response",
            "created_at": self.heading.created,
            "status": stage.name(),
            "background": false,
            "error": null,
            "incomplete_details": is_cut_off.then(|| json!({ "reason": "max_output_tokens" })),
            "instructions": instructions,
            "max_output_tokens": max_output_tokens,
            "metadata": metadata,
            "model": self.heading.model,
            "output": output,
            "parallel_tool_calls": false,
            "previous_response_id": null,
            "reasoning": { "effort": null, "summary": null },
            "store": false,
            "temperature": temperature,
            "text": { "format": { "type": "text" } },
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": top_logprobs,
            "top_p": top_p,
            "truncation": "disabled",
            "usage": null,
            "system_fingerprint": self.heading.system_fingerprint,
        })
    }
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
