//! An answer in pieces, as it is made.

use super::super::calls::Call;
use super::super::choice::{Choice, Receipt};
use super::super::completion::{Heading, Usage};
use super::super::delta_parser::{DeltaParser, Piece};
use super::super::fault::Fault;
use super::super::logprobs::chat_logprobs;
use super::super::request::Request;
use super::response::{ResponseHead, Stage, part, part_of};
use gatefold::engine::{Delta, Generated};
use gatefold::tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::sync::Arc;

/// Makes the events of an answer: their types, and JSON texts without line breaks.
pub struct ResponseEvents {
    tokenizer: Arc<Tokenizer>,
    head: ResponseHead,
    request: Arc<Request>,
    parser: DeltaParser,
    /// The message as far as it was told, once it is known to be one.
    message: Option<Message>,
    n_events: usize,
    /// The answer, once it has ended.
    choice: Option<Choice>,
}

/// A text and its log probabilities.
#[derive(Default)]
struct Message {
    text: String,
    logprobs: Vec<Value>,
}

/// An event's type, and its data.
pub type ResponseEvent = (&'static str, String);

impl ResponseEvents {
    /// None so far.
    pub fn new(
        tokenizer: Arc<Tokenizer>,
        heading: Heading,
        request: Arc<Request>,
    ) -> ResponseEvents {
        let head = ResponseHead::new(heading, &request);
        let parser = DeltaParser::new(&request);
        let (message, choice) = (None, None);
        ResponseEvents { tokenizer, head, request, parser, message, n_events: 0, choice }
    }

    /// That there is an answer; and a message in it, where it can be nothing else.
    pub fn begin(&mut self) -> Vec<ResponseEvent> {
        let response = self.head.object(Stage::InProgress, json!([]));
        let mut events = vec![
            self.event("response.created", json!({ "response": response })),
            self.event("response.in_progress", json!({ "response": response })),
        ];
        if self.request.tools.is_none() {
            events.extend(self.message_begins());
        }
        events
    }

    /// More of the answer.
    pub fn more(&mut self, delta: Delta) -> Vec<ResponseEvent> {
        let piece = self.parser.more(&self.tokenizer, delta);
        piece.map(|piece| self.delta(piece)).unwrap_or_default()
    }

    /// The end of the answer to this prompt.
    pub fn end(
        &mut self,
        prompt: &[u32],
        generated: Generated,
        receipt: Receipt,
    ) -> Vec<ResponseEvent> {
        let choice = Choice::new(&self.tokenizer, &self.request, 0, prompt, generated, receipt);
        let rest = self.parser.finish(!choice.calls().is_empty());
        let events = match choice.calls() {
            [] => {
                let mut events = self.message_begins();
                events.extend(rest.map(|piece| self.delta(piece)).unwrap_or_default());
                events.extend(self.message_ends(&choice));
                events
            }
            calls => {
                calls.iter().enumerate().flat_map(|(idx, call)| self.call(idx, call)).collect()
            }
        };
        self.choice = Some(choice);
        events
    }

    /// What comes last.
    pub fn over(&mut self, usage: Usage) -> ResponseEvent {
        let choice = self.choice.take().expect("it has ended");
        let response = self.head.whole(&choice, usage);
        let kind = match Stage::of(&choice) {
            Stage::Incomplete => "response.incomplete",
            _ => "response.completed",
        };
        self.event(kind, json!({ "response": response }))
    }

    /// What comes last where there will be no answer.
    pub fn failed(&mut self, fault: &Fault) -> ResponseEvent {
        let message = self.message.iter().map(|Message { text, logprobs }| {
            self.head.message(Stage::Incomplete, json!([part(text, &json!(logprobs))]))
        });
        let mut response = self.head.object(Stage::Failed, message.collect());
        // Of the codes that there are, the one for what is not the request's fault.
        response["error"] = json!({ "code": "server_error", "message": fault.message });
        self.event("response.failed", json!({ "response": response }))
    }

    /// That there is a message, if that was not told.
    fn message_begins(&mut self) -> Vec<ResponseEvent> {
        if self.message.is_some() {
            return Vec::new();
        }
        self.message = Some(Message::default());
        let message = self.head.message(Stage::InProgress, json!([]));
        vec![
            self.event("response.output_item.added", json!({ "output_index": 0, "item": message })),
            self.part("response.content_part.added", json!({ "part": part("", &json!([])) })),
        ]
    }

    /// More of the message.
    fn delta(&mut self, (text, tokens): Piece) -> Vec<ResponseEvent> {
        let mut events = self.message_begins();
        let logprobs = json!(chat_logprobs(tokens));
        let message = self.message.get_or_insert_default();
        message.text.push_str(&text);
        message.logprobs.extend(logprobs.as_array().into_iter().flatten().cloned());
        let delta = json!({ "delta": text, "logprobs": logprobs });
        events.push(self.part("response.output_text.delta", delta));
        events
    }

    /// The end of the message.
    fn message_ends(&mut self, choice: &Choice) -> [ResponseEvent; 3] {
        let part = part_of(choice);
        let message = self.head.message(Stage::of(choice), json!([part]));
        let done = json!({ "text": part["text"], "logprobs": part["logprobs"] });
        [
            self.part("response.output_text.done", done),
            self.part("response.content_part.done", json!({ "part": part })),
            self.event("response.output_item.done", json!({ "output_index": 0, "item": message })),
        ]
    }

    /// A call, whose arguments come as one piece.
    fn call(&mut self, idx: usize, call: &Call) -> [ResponseEvent; 4] {
        let (id, function) = (self.head.call_id(idx), &call.function);
        let [added, done] = [Stage::InProgress, Stage::Completed]
            .map(|stage| json!({"output_index": idx, "item": self.head.call(idx, call, stage)}));
        let of_arguments = |name: &str| {
            let mut data = json!({ "item_id": id, "output_index": idx });
            data[name] = json!(function.arguments);
            data
        };
        [
            self.event("response.output_item.added", added),
            self.event("response.function_call_arguments.delta", of_arguments("delta")),
            self.event("response.function_call_arguments.done", of_arguments("arguments")),
            self.event("response.output_item.done", done),
        ]
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
