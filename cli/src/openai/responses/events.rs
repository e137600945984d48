//! An answer in pieces, as it is made.

use super::super::choice::Receipt;
use super::super::completion::Usage;
use super::super::fault::Fault;
use super::super::logprobs::chat_logprobs;
use super::super::said::{Said, Unsaid};
use super::response::{ResponseHead, Stage, part, used};
use gatefold::engine::{Delta, Generated};
use gatefold::tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::mem;
use std::sync::Arc;

/// Makes the events of an answer: their types, and JSON texts without line breaks.
pub struct ResponseEvents {
    tokenizer: Arc<Tokenizer>,
    head: ResponseHead,
    unsaid: Unsaid,
    /// What was told so far.
    text: String,
    logprobs: Vec<Value>,
    n_events: usize,
    /// How it has ended, and by what it is made again.
    ending: Option<(Stage, Receipt)>,
}

/// An event's type, and its data.
pub type ResponseEvent = (&'static str, String);

impl ResponseEvents {
    /// None so far.
    pub fn new(tokenizer: Arc<Tokenizer>, head: ResponseHead) -> ResponseEvents {
        let (text, logprobs, unsaid) = (String::new(), Vec::new(), Unsaid::new(true));
        ResponseEvents { tokenizer, head, unsaid, text, logprobs, n_events: 0, ending: None }
    }

    /// That there is an answer, and a message in it.
    pub fn begin(&mut self) -> Vec<ResponseEvent> {
        let response = self.head.object(Stage::InProgress, json!([]));
        let message = self.head.message(Stage::InProgress, json!([]));
        vec![
            self.event("response.created", json!({ "response": response })),
            self.event("response.in_progress", json!({ "response": response })),
            self.event("response.output_item.added", json!({ "output_index": 0, "item": message })),
            self.part("response.content_part.added", json!({ "part": part("", &json!([])) })),
        ]
    }

    /// More of the answer.
    pub fn more(&mut self, delta: &Delta) -> Vec<ResponseEvent> {
        let said = self.unsaid.more(&self.tokenizer, delta);
        self.delta(&delta.text, said)
    }

    /// The end of the text.
    pub fn end(&mut self, generated: &Generated, receipt: Receipt) -> Vec<ResponseEvent> {
        let said = mem::replace(&mut self.unsaid, Unsaid::new(true)).finish("");
        let mut events = self.delta("", said);
        let stage = Stage::of(generated);
        self.ending = Some((stage, receipt));
        let (text, logprobs) = (self.text.clone(), json!(self.logprobs));
        let part = part(&text, &logprobs);
        let message = self.head.message(stage, json!([part]));
        let done = json!({ "text": text, "logprobs": logprobs });
        events.push(self.part("response.output_text.done", done));
        events.push(self.part("response.content_part.done", json!({ "part": part })));
        let item = json!({ "output_index": 0, "item": message });
        events.push(self.event("response.output_item.done", item));
        events
    }

    /// What comes last.
    pub fn over(&mut self, usage: Usage) -> ResponseEvent {
        let (stage, receipt) = self.ending.clone().expect("its text has ended");
        let mut response = self.object(stage);
        response["usage"] = used(usage);
        response["receipt"] = json!(receipt);
        let kind = match stage {
            Stage::Incomplete => "response.incomplete",
            _ => "response.completed",
        };
        self.event(kind, json!({ "response": response }))
    }

    /// What comes last where there will be no answer.
    pub fn failed(&mut self, fault: &Fault) -> ResponseEvent {
        let mut response = self.object(Stage::Failed);
        // Of the codes that there are, the one for what is not the request's fault.
        response["error"] = json!({ "code": "server_error", "message": fault.message });
        self.event("response.failed", json!({ "response": response }))
    }

    /// The answer with what was told.
    fn object(&self, stage: Stage) -> Value {
        let part = part(&self.text, &json!(self.logprobs));
        let stage_of_message = if stage == Stage::Failed { Stage::Incomplete } else { stage };
        self.head.object(stage, json!([self.head.message(stage_of_message, json!([part]))]))
    }

    fn delta(&mut self, text: &str, said: Vec<Said>) -> Vec<ResponseEvent> {
        if text.is_empty() && said.is_empty() {
            return Vec::new();
        }
        let logprobs = json!(chat_logprobs(said));
        self.text.push_str(text);
        self.logprobs.extend(logprobs.as_array().into_iter().flatten().cloned());
        let delta = json!({ "delta": text, "logprobs": logprobs });
        vec![self.part("response.output_text.delta", delta)]
    }

    /// An event of the one part of the message.
    fn part(&mut self, kind: &'static str, mut data: Value) -> ResponseEvent {
        (data["output_index"], data["content_index"]) = (0.into(), 0.into());
        data["item_id"] = self.head.message_id().into();
        self.event(kind, data)
    }

    fn event(&mut self, kind: &'static str, mut data: Value) -> ResponseEvent {
        data["type"] = kind.into();
        data["sequence_number"] = self.n_events.into();
        self.n_events += 1;
        (kind, data.to_string())
    }
}
