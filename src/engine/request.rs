//! What is asked of the engine, and what it answers.

use super::speed::Speed;
use crate::model::ModelError;
use crate::sampler::{SamplerError, Sampling};
use std::time::Instant;
use thiserror::Error;

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Everything that the answer follows.
    pub prompt: Vec<u32>,
    /// Whether the answer is a text of its own, not the rest of one: it does not begin with the
    /// space that separates it from the prompt.
    pub is_own_text: bool,
    /// Most tokens to make, 1 or more; none is up to the end of the context.
    pub max_tokens: Option<usize>,
    /// Strings that end the answer, and are not part of it.
    pub stops: Vec<String>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Of how many most probable tokens the log probabilities are wanted beside each token's own;
    /// none for no log probabilities at all.
    pub n_logprobs: Option<usize>,
    /// When to give up, looked at between steps; what was made until then is the answer.
    pub deadline: Option<Instant>,
}

impl Request {
    /// A request for what follows `prompt`, up to the end of the context.
    pub fn new(prompt: Vec<u32>, sampling: Sampling) -> Request {
        Request {
            prompt,
            is_own_text: false,
            max_tokens: None,
            stops: Vec::new(),
            sampling,
            n_logprobs: None,
            deadline: None,
        }
    }
}

/// Names a request to the engine that took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// Why a request is not taken. Nothing has changed then.
#[derive(Debug, Error)]
pub enum Refusal {
    /// There is nothing to continue.
    #[error("the prompt is empty, so there is nothing to continue; give it some text")]
    EmptyPrompt,
    /// The prompt does not fit into the context, or has tokens that the model does not.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its keys and values would not fit into the memory even if it were alone.
    #[error(
        "{n_tokens} tokens take {wanted_bytes} bytes of keys and values, but they may have {memory_bytes}; raise --memory, lower the context (-c), ask for fewer tokens (-n), shorten the text, or use --cache-type q8_0"
    )]
    Memory {
        /// Tokens that the sequence could have at its end.
        n_tokens: usize,
        /// What they take.
        wanted_bytes: u64,
        /// What there is.
        memory_bytes: u64,
    },
}

/// What the engine tells of a request.
#[derive(Debug)]
pub enum Event<'a> {
    /// This many tokens of the prompt are read, those included that needed no reading. It may fall,
    /// where memory that is short is given up and the prompt is read again.
    Prompt {
        /// Tokens.
        n_read: usize,
        /// Those among them that needed no reading.
        n_reused: usize,
    },
    /// More text of the answer; never empty.
    Text(&'a str),
    /// The answer is complete. The last of the request.
    Done(Generated),
    /// There will be no answer. The last of the request.
    Failed(GenerateError),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it.
    EndOfText,
    /// A stop string.
    StopString,
    /// It has as many tokens as were asked for.
    Length,
    /// The context is full.
    Context,
    /// Its time was up.
    Deadline,
    /// It was cancelled.
    Cancelled,
}

impl FinishReason {
    /// Whether the answer ends where it does since it may not be longer.
    pub fn is_cut_off(self) -> bool {
        matches!(self, FinishReason::Length | FinishReason::Context)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Generated {
    /// Its text.
    pub text: String,
    /// Its tokens, with the one that ended it, if the model did.
    pub tokens: Vec<u32>,
    /// Per token, if they were asked for: its log probability, and the most probable tokens.
    pub logprobs: Vec<TokenLogprobs>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt that needed no reading: another request had read them, or a file of the
    /// last run had them.
    pub n_reused: usize,
    /// Reading of the prompt, as far as it was new. In company the time is that of all.
    pub prompt_speed: Speed,
    /// Making of the answer, from the second token on: the first comes with the prompt.
    pub speed: Speed,
    /// The last logits computed, `[n_vocab]`; none if the reading of the prompt was ended.
    pub last_logits: Vec<f32>,
}

impl Generated {
    /// FNV-1a over the bits of the last logits: equal on all machines if and (all but) only if every
    /// bit of them is.
    pub fn logits_hash(&self) -> u64 {
        let bytes = self.last_logits.iter().flat_map(|logit| logit.to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// Log probabilities at one token of an answer: natural logarithms, of the model's own
/// distribution, before temperature and the like.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// Of the token chosen.
    pub chosen: f32,
    /// The most probable tokens with theirs, the most probable first.
    pub top: Vec<(u32, f32)>,
}

/// Why generation failed.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// No token could be chosen.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// The model could not take a step.
    #[error(transparent)]
    Model(#[from] ModelError),
}
