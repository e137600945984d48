//! One answer, as a whole.

use super::calls::{Call, Stand, calls};
use super::endpoint::Endpoint;
use super::logprobs::{ChatLogprob, Logprobs};
use super::request::Request;
use super::text_tokens::{PendingTokens, TextToken, text};
use gatefold::engine::{FinishReason, Generated, TokenLogprobs};
use gatefold::tokenizer::Tokenizer;
use serde::Serialize;
use std::iter;

/// An answer.
#[derive(Debug, Serialize)]
pub struct Choice {
    index: usize,
    #[serde(flatten)]
    content: Content,
    logprobs: Option<Logprobs>,
    pub(super) finish_reason: &'static str,
    /// By what another machine makes the same answer, and sees that it has.
    pub(super) receipt: Receipt,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Message {
        role: &'static str,
        content: Option<String>,
        refusal: (),
        #[serde(skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<Call>,
    },
    Text(String),
}

/// What an answer comes from beside its request, and what it ends with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The seed of its draws.
    pub seed: u64,
    /// A hash of the last logits: [`Generated::logits_hash`].
    pub logits_hash: String,
}

impl Receipt {
    /// That of an answer which was drawn with `seed`.
    pub fn new(seed: u64, generated: &Generated) -> Receipt {
        Receipt { seed, logits_hash: format!("{:016x}", generated.logits_hash()) }
    }
}

impl Choice {
    /// The answer with this number, to a prompt.
    pub fn new(
        tokenizer: &Tokenizer,
        request: &Request,
        index: usize,
        prompt: &[u32],
        generated: Generated,
        receipt: Receipt,
    ) -> Choice {
        let endpoint = request.endpoint();
        let (before, mut tokens) = match request.wants.echo {
            true => echo(tokenizer, prompt, &generated.prompt_logprobs),
            false => (String::new(), Vec::new()),
        };
        let logprobs = request.params.n_logprobs.map(|_| {
            tokens.extend(of_answer(tokenizer, request, &generated));
            Logprobs::new(endpoint, tokens, &mut 0)
        });
        let tool_calls = of_functions(request, index, prompt, &generated);
        let finish_reason = finish_reason(generated.finish_reason, !tool_calls.is_empty());
        let text = before + &generated.text;
        let content = match endpoint {
            Endpoint::Chat | Endpoint::Responses => {
                let content = Some(text).filter(|_| tool_calls.is_empty());
                Content::Message { role: "assistant", content, refusal: (), tool_calls }
            }
            Endpoint::Texts => Content::Text(text),
        };
        Choice { index, content, logprobs, finish_reason, receipt }
    }

    /// What it says.
    pub(super) fn text(&self) -> &str {
        match &self.content {
            Content::Message { content, .. } => content.as_deref().unwrap_or_default(),
            Content::Text(text) => text,
        }
    }

    /// The calls that it consists of.
    pub(super) fn calls(&self) -> &[Call] {
        match &self.content {
            Content::Message { tool_calls, .. } => tool_calls,
            Content::Text(_) => &[],
        }
    }

    /// The log probabilities of a text in a conversation.
    pub(super) fn chat_logprobs(&self) -> &[ChatLogprob] {
        match &self.logprobs {
            Some(Logprobs::Chat { content, .. }) => content,
            _ => &[],
        }
    }

    /// The text and the log probabilities of one from `/v1/completions`.
    pub(super) fn into_parts(self) -> (String, Option<Logprobs>) {
        match self.content {
            Content::Message { content, .. } => (content.unwrap_or_default(), self.logprobs),
            Content::Text(text) => (text, self.logprobs),
        }
    }
}

/// The calls that an answer consists of.
pub(super) fn of_functions(
    request: &Request,
    index: usize,
    prompt: &[u32],
    generated: &Generated,
) -> Vec<Call> {
    let stand = Stand { prompt, index, tokens: &generated.tokens };
    let found = |tools| calls(&generated.text, &stand, tools);
    request.tools.as_ref().and_then(found).unwrap_or_default()
}

/// OpenAI's name for why an answer ended, which may be calls of functions.
pub(super) fn finish_reason(reason: FinishReason, has_calls: bool) -> &'static str {
    match reason {
        FinishReason::EndOfText | FinishReason::StopString if has_calls => "tool_calls",
        FinishReason::EndOfText | FinishReason::StopString => "stop",
        FinishReason::Length
        | FinishReason::Context
        | FinishReason::Deadline
        | FinishReason::Cancelled => "length",
    }
}

/// The text of a prompt, and its tokens. The first of these follows nothing, and has no log
/// probability.
fn echo(
    tokenizer: &Tokenizer,
    prompt: &[u32],
    logprobs: &[TokenLogprobs],
) -> (String, Vec<TextToken>) {
    let mut pending = PendingTokens::new(true);
    let logprobs = iter::once(None).chain(logprobs.iter().map(Some)).chain(iter::repeat(None));
    for (&token, logprobs) in prompt.iter().zip(logprobs) {
        pending.push(tokenizer, token, logprobs);
    }
    let tokens = pending.all();
    let bytes: Vec<u8> = tokens.iter().flat_map(|token| &token.bytes).copied().collect();
    (text(&bytes), tokens)
}

/// The tokens of the text of an answer. The one that ends it is no part of it; where the prompt comes
/// before it, it is there nevertheless: whoever scores prompts leaves out the last token, and that
/// must not be the prompt's.
fn of_answer(tokenizer: &Tokenizer, request: &Request, generated: &Generated) -> Vec<TextToken> {
    let mut pending = PendingTokens::new(request.is_chat());
    for (&token, logprobs) in generated.tokens.iter().zip(&generated.logprobs) {
        if request.wants.echo || !tokenizer.ends_generation(token) {
            pending.push(tokenizer, token, Some(logprobs));
        }
    }
    pending.finish(&generated.text)
}
