//! The answers to a request in pieces, as they are made.

use super::calls::Call;
use super::choice::{Choice, Receipt, finish_reason, of_functions};
use super::completion::{Heading, Usage};
use super::delta_parser::DeltaParser;
use super::endpoint::Endpoint;
use super::logprobs::Logprobs;
use super::request::Request;
use super::text_tokens::TextToken;
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
    n_chars: usize,
    parser: DeltaParser,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_progress: Option<Progress>,
}

/// How far a prompt is computed, in the words of llama.cpp's server.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Progress {
    /// Tokens of the prompt.
    pub total: usize,
    /// How many of them were computed before the request came.
    pub cache: usize,
    /// How many are computed, those included.
    pub processed: usize,
    /// Milliseconds since the request came.
    pub time_ms: u64,
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
        #[serde(skip_serializing_if = "Option::is_none")]
        tool_calls: Option<[Call; 1]>,
    },
    Text(String),
}

impl Piece {
    /// One that is not the last.
    fn new(index: usize, content: Content) -> Piece {
        Piece { index, content, logprobs: None, finish_reason: None, receipt: None }
    }
}

impl Chunks {
    /// None so far.
    pub fn new(tokenizer: Arc<Tokenizer>, heading: Heading, request: Arc<Request>) -> Chunks {
        let answer = || Answer { has_begun: false, n_chars: 0, parser: DeltaParser::new(&request) };
        let answers = (0..request.n_answers()).map(|_| answer()).collect();
        Chunks { tokenizer, heading, request, answers }
    }

    /// The pieces that tell how far a prompt is computed, where that is wanted.
    pub fn progress(&mut self, index: usize, progress: Progress) -> Vec<String> {
        if !self.request.wants.progress {
            return Vec::new();
        }
        let mut chunks = self.beginning(index);
        let piece = self.empty(index);
        chunks.push(self.json(&[piece], self.no_usage(), Some(progress)));
        chunks
    }

    /// The pieces that more of an answer makes. Behind its prompt, an answer is one piece, which comes
    /// in the end.
    pub fn more(&mut self, index: usize, delta: Delta) -> Vec<String> {
        if self.request.wants.echo {
            return Vec::new();
        }
        let piece = self.answers[index].parser.more(&self.tokenizer, delta);
        piece.map(|(text, tokens)| self.told(index, text, tokens)).unwrap_or_default()
    }

    /// The pieces for more of the text of an answer.
    fn told(&mut self, index: usize, text: String, tokens: Vec<TextToken>) -> Vec<String> {
        let (endpoint, n_logprobs) = (self.heading.endpoint, self.request.params.n_logprobs);
        let n_chars = &mut self.answers[index].n_chars;
        let logprobs = n_logprobs.map(|_| Logprobs::new(endpoint, tokens, n_chars));
        let mut chunks = self.beginning(index);
        chunks.push(self.piece(index, text, logprobs));
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
        let calls = of_functions(&self.request, index, prompt, &generated);
        let reason = finish_reason(generated.finish_reason, !calls.is_empty());
        if let Some((text, tokens)) = self.answers[index].parser.finish(!calls.is_empty()) {
            chunks.extend(self.told(index, text, tokens));
        }
        for (number, call) in calls.into_iter().enumerate() {
            let tool_calls = Some([call.numbered(number)]);
            let content = Content::Delta { role: None, content: None, tool_calls };
            chunks.push(self.chunk(&[Piece::new(index, content)]));
        }
        if self.request.wants.echo {
            let (tokenizer, receipt) = (&self.tokenizer, receipt.clone());
            let whole = Choice::new(tokenizer, &self.request, index, prompt, generated, receipt);
            let (text, logprobs) = whole.into_parts();
            chunks.push(self.piece(index, text, logprobs));
        }
        let finish_reason = Some(reason);
        let last = Piece { finish_reason, receipt: Some(receipt), ..self.empty(index) };
        chunks.push(self.chunk(&[last]));
        chunks
    }

    /// What comes behind all answers: how many tokens there were, where that is wanted.
    pub fn usage(&self, usage: Usage) -> Option<String> {
        self.request.wants.usage.then(|| self.json(&[], Some(Some(usage)), None))
    }

    /// What comes first of an answer: in a chat, whose it is.
    fn beginning(&mut self, index: usize) -> Vec<String> {
        let has_begun = mem::replace(&mut self.answers[index].has_begun, true);
        if has_begun || self.heading.endpoint == Endpoint::Texts {
            return Vec::new();
        }
        let content = Content::Delta {
            role: Some("assistant"),
            content: Some(String::new()),
            tool_calls: None,
        };
        vec![self.chunk(&[Piece::new(index, content)])]
    }

    /// A piece of an answer that adds nothing.
    fn empty(&self, index: usize) -> Piece {
        Piece::new(index, self.content(None))
    }

    fn piece(&self, index: usize, text: String, logprobs: Option<Logprobs>) -> String {
        self.chunk(&[Piece { logprobs, ..Piece::new(index, self.content(Some(text))) }])
    }

    fn content(&self, text: Option<String>) -> Content {
        match self.heading.endpoint {
            Endpoint::Texts => Content::Text(text.unwrap_or_default()),
            _ => Content::Delta { role: None, content: text, tool_calls: None },
        }
    }

    fn chunk(&self, choices: &[Piece]) -> String {
        self.json(choices, self.no_usage(), None)
    }

    /// What chunks before the last say of the usage.
    fn no_usage(&self) -> Option<Option<Usage>> {
        self.request.wants.usage.then_some(None)
    }

    fn json(
        &self,
        choices: &[Piece],
        usage: Option<Option<Usage>>,
        prompt_progress: Option<Progress>,
    ) -> String {
        let Heading { endpoint, created, model, system_fingerprint, .. } = &self.heading;
        let object = match endpoint {
            Endpoint::Texts => "text_completion",
            _ => "chat.completion.chunk",
        };
        let (id, created) = (&self.heading.id(), *created);
        let chunk = Chunk {
            id,
            object,
            created,
            model,
            system_fingerprint,
            choices,
            usage,
            prompt_progress,
        };
        serde_json::to_string(&chunk).expect("texts and numbers are JSON")
    }
}
