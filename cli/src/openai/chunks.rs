//! The answers to a request in pieces, as they are made.

use super::choice::{Choice, Receipt, finish_reason};
use super::completion::{Heading, Usage};
use super::logprobs::Logprobs;
use super::request::{Endpoint, Request};
use super::said::Unsaid;
use gatefold::engine::{Delta, Generated};
use gatefold::tokenizer::Tokenizer;
use serde::Serialize;
use std::mem;
use std::sync::Arc;

/// Makes the pieces of the answers to one request: JSON texts without line breaks.
pub struct Chunks {
    tokenizer: Arc<Tokenizer>,
    heading: Heading,
    request: Arc<Request>,
    answers: Vec<Answer>,
}

/// An answer on its way.
struct Answer {
    /// Whether a piece of it was told.
    has_begun: bool,
    unsaid: Unsaid,
    n_chars: usize,
}

#[derive(Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: &'a str,
    choices: &'a [Piece],
    /// Null in all chunks but the last, where it is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
}

#[derive(Serialize)]
struct Piece {
    index: usize,
    #[serde(flatten)]
    content: Content,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Receipt>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Delta {
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<String>,
    },
    Text(String),
}

impl Chunks {
    /// None so far.
    pub fn new(tokenizer: Arc<Tokenizer>, heading: Heading, request: Arc<Request>) -> Chunks {
        let is_own_text = request.is_chat();
        let answer = || Answer { has_begun: false, unsaid: Unsaid::new(is_own_text), n_chars: 0 };
        let answers = (0..request.n_answers()).map(|_| answer()).collect();
        Chunks { tokenizer, heading, request, answers }
    }

    /// The pieces that more of an answer makes. Behind its prompt, an answer is one piece, which comes
    /// in the end.
    pub fn more(&mut self, index: usize, delta: Delta) -> Vec<String> {
        if self.request.wants.echo {
            return Vec::new();
        }
        let answer = &mut self.answers[index];
        let said = answer.unsaid.more(&self.tokenizer, &delta);
        if delta.text.is_empty() && said.is_empty() {
            return Vec::new();
        }
        let endpoint = self.heading.endpoint;
        let logprobs = self.request.params.n_logprobs;
        let logprobs = logprobs.map(|_| Logprobs::new(endpoint, said, &mut answer.n_chars));
        let mut chunks = self.beginning(index);
        chunks.push(self.piece(index, delta.text, logprobs));
        chunks
    }

    /// The pieces with which an answer ends.
    pub fn end(
        &mut self,
        index: usize,
        prompt: &[u32],
        generated: Generated,
        receipt: Receipt,
    ) -> Vec<String> {
        let mut chunks = self.beginning(index);
        let reason = finish_reason(generated.finish_reason);
        let endpoint = self.heading.endpoint;
        if self.request.wants.echo {
            let (tokenizer, receipt) = (&self.tokenizer, receipt.clone());
            let whole = Choice::new(tokenizer, &self.request, index, prompt, generated, receipt);
            let (text, logprobs) = whole.into_parts();
            chunks.push(self.piece(index, text, logprobs));
        } else {
            let answer = &mut self.answers[index];
            let unsaid = mem::replace(&mut answer.unsaid, Unsaid::new(false));
            let said = unsaid.finish("");
            if !said.is_empty() {
                let logprobs = Logprobs::new(endpoint, said, &mut answer.n_chars);
                chunks.push(self.piece(index, String::new(), Some(logprobs)));
            }
        }
        let content = match endpoint {
            Endpoint::Chat => Content::Delta { role: None, content: None },
            Endpoint::Texts => Content::Text(String::new()),
        };
        let finish_reason = Some(reason);
        chunks.push(self.chunk(&[Piece {
            index,
            content,
            logprobs: None,
            finish_reason,
            receipt: Some(receipt),
        }]));
        chunks
    }

    /// What comes behind all answers: how many tokens there were, where that is wanted.
    pub fn usage(&self, usage: Usage) -> Option<String> {
        self.request.wants.usage.then(|| self.json(&[], Some(Some(usage))))
    }

    /// What comes first of an answer: in a chat, whose it is.
    fn beginning(&mut self, index: usize) -> Vec<String> {
        let has_begun = mem::replace(&mut self.answers[index].has_begun, true);
        if has_begun || self.heading.endpoint == Endpoint::Texts {
            return Vec::new();
        }
        let content = Content::Delta { role: Some("assistant"), content: Some(String::new()) };
        vec![self.chunk(&[Piece {
            index,
            content,
            logprobs: None,
            finish_reason: None,
            receipt: None,
        }])]
    }

    fn piece(&self, index: usize, text: String, logprobs: Option<Logprobs>) -> String {
        let content = match self.heading.endpoint {
            Endpoint::Chat => Content::Delta { role: None, content: Some(text) },
            Endpoint::Texts => Content::Text(text),
        };
        self.chunk(&[Piece { index, content, logprobs, finish_reason: None, receipt: None }])
    }

    fn chunk(&self, choices: &[Piece]) -> String {
        self.json(choices, self.request.wants.usage.then_some(None))
    }

    fn json(&self, choices: &[Piece], usage: Option<Option<Usage>>) -> String {
        let Heading { id, endpoint, created, model, system_fingerprint } = &self.heading;
        let object = match endpoint {
            Endpoint::Chat => "chat.completion.chunk",
            Endpoint::Texts => "text_completion",
        };
        let created = *created;
        let chunk = Chunk { id, object, created, model, system_fingerprint, choices, usage };
        serde_json::to_string(&chunk).expect("texts and numbers are JSON")
    }
}
