//! What is asked of the engine, and what it answers.

use super::speed::Speed;
use crate::constraint::{Constraint, ConstraintError};
use crate::model::log_probs::LogProbs;
use crate::model::{ModelError, Routes};
use crate::sampler::{SamplerError, Sampling};
use std::sync::Arc;
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
    /// Most tokens to make, which may be 0; none is up to the end of the context.
    pub max_tokens: Option<usize>,
    /// Strings that end the answer, and are not part of it.
    pub stops: Vec<String>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The form that the answer must have, if any: nothing else is chosen, and it ends where that is
    /// complete.
    pub constraint: Option<Arc<dyn Constraint>>,
    /// Of how many most probable tokens the log probabilities are wanted beside each token's own;
    /// none for no log probabilities at all.
    pub n_logprobs: Option<usize>,
    /// Log probabilities of the prompt's own tokens, if they are wanted.
    pub prompt_logprobs: Option<PromptLogprobs>,
    /// Whether it is to be told which experts the routers choose ([`Event::Routes`]).
    pub wants_routes: bool,
    /// When to give up, looked at between steps; what was made until then is the answer.
    pub deadline: Option<Instant>,
    /// Whether somebody waits for the answer.
    pub priority: Priority,
}

/// Whether somebody waits for an answer. It decides on when the answer is made, and on no bit of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody does.
    #[default]
    Interactive,
    /// Nobody does: it is made in steps that interactive requests do not take. While one of these waits
    /// or its prompt is read, no step has a token of the background; while all of them decode, it has a
    /// small part of one step in 65. What it holds is theirs where memory is short.
    Background,
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
            constraint: None,
            n_logprobs: None,
            prompt_logprobs: None,
            wants_routes: false,
            deadline: None,
            priority: Priority::default(),
        }
    }

    /// Most tokens whose keys and values are kept. The last one of an answer is never computed.
    pub(super) fn max_len(&self, context_len: usize) -> usize {
        let max_tokens = self.max_tokens.unwrap_or(usize::MAX);
        context_len.min(self.prompt.len().saturating_add(max_tokens.max(1) - 1))
    }
}

/// Which log probabilities are wanted of a prompt: those of its tokens from `first` on, each given all
/// before it.
///
/// What lies before `first` may come from the prefix cache; from there on logits are computed. The
/// very first token of a prompt follows nothing, and has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PromptLogprobs {
    /// Index of the first token of interest.
    pub first: usize,
    /// How many most probable tokens are wanted beside each token's own.
    pub n_top: usize,
}

/// Names a request to the engine that took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// Why a request is not taken. Nothing has changed then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is nothing to continue.
    #[error("the prompt is empty, so there is nothing to continue; give it some text")]
    EmptyPrompt,
    /// The prompt does not fit into the context, or has tokens that the model does not.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Its keys and values would not fit into the memory even if it were alone.
    #[error(
        "{n_tokens} tokens take {wanted_bytes} bytes of keys and values, but they may have {memory_bytes}; raise `memory_bytes`, lower the context (`context_len`), ask for fewer tokens (`max_tokens`), shorten the text, or use q8_0 as `cache_format`"
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
#[non_exhaustive]
pub enum Event {
    /// This many tokens of the prompt are computed, those from the prefix cache included. It may
    /// fall, where memory is short and the request is preempted.
    Prefill {
        /// Tokens.
        n_computed: usize,
        /// How many of them came from the prefix cache.
        n_reused: usize,
    },
    /// Which experts the tokens from index `first` on were sent to, of prompt and answer. A token's
    /// comes with the step that reads it: for one of the answer, just before the token that follows.
    /// The last token is never read, and what the prefix cache has is not read again; a preempted
    /// request is told of its tokens once more.
    Routes {
        /// Index of the first token.
        first: usize,
        /// What the routers chose.
        routes: Routes,
    },
    /// More of the answer.
    Delta(Delta),
    /// The answer is complete. The last of the request.
    Done(Generated),
    /// There will be no answer. The last of the request.
    Failed(GenerateError),
}

/// A piece of an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// The tokens that were made.
    pub tokens: Vec<Token>,
    /// The text that is certain with them: none while a character or a stop string is incomplete.
    pub text: String,
}

impl Delta {
    /// Whether it adds nothing.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty() && self.text.is_empty()
    }
}

/// A token of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The token.
    pub id: u32,
    /// Its log probability, if it was asked for.
    pub logprobs: Option<TokenLogprobs>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended it, or its form is complete.
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
#[non_exhaustive]
pub struct Generated {
    /// Its text.
    pub text: String,
    /// Its tokens, with the one that ended it, if the model did.
    pub tokens: Vec<u32>,
    /// Per token, if they were asked for: its log probability, and the most probable tokens.
    pub logprobs: Vec<TokenLogprobs>,
    /// Those of the prompt that were asked for, a token after the other.
    pub prompt_logprobs: Vec<TokenLogprobs>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt that came from the prefix cache: another request had computed them, or a
    /// file of the last run had them.
    pub n_reused: usize,
    /// Prefill, as far as it was new. In company the time is that of all.
    pub prompt_speed: Speed,
    /// Decode, from the second token on: the first comes with the prompt.
    pub speed: Speed,
    /// The last logits computed, `[n_vocab]`; none if prefill was ended.
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

/// Log probabilities at one token: natural logarithms, of the model's own distribution, before
/// temperature, a constraint and the like.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// Of the token that is there.
    pub chosen: f32,
    /// The most probable tokens with their log probabilities, the most probable first.
    pub top: Vec<(u32, f32)>,
}

impl TokenLogprobs {
    /// Of `token`, and of the `n_top` most probable ones, by the logits before it, `[n_vocab]`.
    pub(super) fn new(logits: &[f32], token: u32, n_top: usize) -> TokenLogprobs {
        let log_probs = LogProbs::new(logits);
        let top = log_probs.top_n(n_top).into_iter();
        TokenLogprobs {
            chosen: log_probs.of(token) as f32,
            top: top.map(|(token, log_prob)| (token, log_prob as f32)).collect(),
        }
    }
}

/// Why generation failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GenerateError {
    /// No token could be chosen.
    #[error(transparent)]
    Sampler(#[from] SamplerError),
    /// The answer could not be held to its form.
    #[error(transparent)]
    Constraint(#[from] ConstraintError),
    /// The model could not take a step.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The engine has refused the request after all.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The thread of the engine has ended before the answer was complete.
    #[error("the engine has stopped before the answer was complete")]
    Stopped,
}
