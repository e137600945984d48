//! A request on its way through the engine.

use super::answer::AnswerText;
use super::request::{FinishReason, Generated, Request, RequestId, TokenLogprobs};
use super::speed::{Clock, Speed};
use crate::model::log_probs::LogProbs;
use crate::model::{Chunk, KvCache, PagePool, Wanted};
use crate::sampler::{Sampler, SamplerError};
use crate::tokenizer::Tokenizer;
use gatefold_quant::Isa;
use std::time::Instant;

/// Tokens of an answer for which memory is set aside when it begins. Few answers are longer, and most
/// requests that allow for more, or do not say, do without.
const EXPECTED_TOKENS: usize = 256;

/// A request and its sequence, from submission to the last token.
pub(super) struct Member<'m> {
    /// Names the request.
    pub id: RequestId,
    /// Whether the request is to end before the next step.
    pub is_cancelled: bool,
    /// What the model remembers of the tokens.
    pub cache: KvCache,
    /// The prompt, then the answer.
    tokens: Vec<u32>,
    n_prompt: usize,
    max_tokens: usize,
    n_logprobs: Option<usize>,
    deadline: Option<Instant>,
    sampler: Sampler,
    text: AnswerText<'m>,
    logprobs: Vec<TokenLogprobs>,
    n_reused: usize,
    /// Runs from the beginning of the prompt, then from the first token of the answer, while it has
    /// its memory.
    clock: Clock,
    prompt_speed: Speed,
    last_logits: Vec<f32>,
}

impl<'m> Member<'m> {
    /// A request that waits, with an empty cache.
    pub fn new(
        id: RequestId,
        request: Request,
        tokenizer: &'m Tokenizer,
        isa: Isa,
        cache: KvCache,
    ) -> Member<'m> {
        Member {
            id,
            is_cancelled: false,
            cache,
            n_prompt: request.prompt.len(),
            tokens: request.prompt,
            max_tokens: request.max_tokens.unwrap_or(usize::MAX),
            n_logprobs: request.n_logprobs,
            deadline: request.deadline,
            sampler: Sampler::new(isa, request.sampling),
            text: AnswerText::new(tokenizer, request.is_own_text, request.stops),
            logprobs: Vec::new(),
            n_reused: 0,
            clock: Clock::default(),
            prompt_speed: Speed::default(),
            last_logits: Vec::new(),
        }
    }

    /// The prompt, and the answer as far as it is made.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Whether reading has begun.
    pub fn has_begun(&self) -> bool {
        self.clock.is_running()
    }

    /// Whether the prompt was read, and tokens are made.
    pub fn is_generating(&self) -> bool {
        self.tokens.len() > self.n_prompt
    }

    /// Whether nothing is unread but the last token of an answer.
    pub fn is_up_to_date(&self) -> bool {
        self.is_generating() && self.n_unread() == 1
    }

    /// Tokens of the prompt that needed no reading.
    pub fn n_reused(&self) -> usize {
        self.n_reused
    }

    /// Tokens that the model has not read: what is left of the prompt, or the last of the answer.
    pub fn n_unread(&self) -> usize {
        self.tokens.len() - self.cache.len()
    }

    /// Most tokens that the cache will hold. The last one of an answer is never read.
    pub fn max_len(&self) -> usize {
        let max_len = self.n_prompt.saturating_add(self.max_tokens.max(1) - 1);
        max_len.min(self.cache.context_len())
    }

    /// Tokens that the cache is expected to hold at most. An answer that is longer than most may be
    /// as long again.
    pub fn expected_len(&self) -> usize {
        let n_expected = EXPECTED_TOKENS.max(2 * (self.tokens.len() - self.n_prompt));
        self.max_len().min(self.n_prompt.saturating_add(n_expected))
    }

    /// Why the request ends before the next step, if it does.
    pub fn ending(&self, now: Instant) -> Option<FinishReason> {
        if self.is_cancelled {
            Some(FinishReason::Cancelled)
        } else {
            self.deadline.filter(|&deadline| deadline <= now).map(|_| FinishReason::Deadline)
        }
    }

    /// Begins to read, after what `cache` has of the tokens; all steps so far have read
    /// `weight_bytes`.
    pub fn begin(&mut self, cache: KvCache, weight_bytes: u64) {
        if !self.is_generating() {
            self.n_reused = cache.len();
        }
        self.cache = cache;
        self.clock.start(weight_bytes);
    }

    /// Gives up the memory, when all steps so far have read `weight_bytes`; what was read is to be
    /// read again.
    pub fn unbegin(&mut self, pool: &PagePool, weight_bytes: u64) {
        if self.is_generating() {
            self.clock.pause(weight_bytes);
        } else {
            self.n_reused = 0;
            self.clock = Clock::default();
        }
        self.cache = KvCache::in_pool(pool, self.cache.context_len());
    }

    /// The next `n_tokens` that are unread, as a part of a step.
    pub fn chunk(&mut self, n_tokens: usize) -> Chunk<'_> {
        let wanted = if n_tokens == self.n_unread() { Wanted::Last } else { Wanted::None };
        let tokens = &self.tokens[self.cache.len()..][..n_tokens];
        Chunk { cache: &mut self.cache, tokens, wanted }
    }

    /// Chooses the next token by the logits that follow the last one, `[n_vocab]`.
    pub fn choose(&mut self, logits: &[f32]) -> Result<u32, SamplerError> {
        let token = self.sampler.choose(logits, &self.tokens)?;
        self.last_logits.clear();
        self.last_logits.extend_from_slice(logits);
        if let Some(n_top) = self.n_logprobs {
            let log_probs = LogProbs::new(logits);
            let top = log_probs.top_n(n_top).into_iter();
            self.logprobs.push(TokenLogprobs {
                chosen: log_probs.of(token) as f32,
                top: top.map(|(token, log_prob)| (token, log_prob as f32)).collect(),
            });
        }
        Ok(token)
    }

    /// Appends a token to the answer. Returns the text that it completes, and why the answer ends
    /// with it, if it does.
    pub fn push(
        &mut self,
        token: u32,
        tokenizer: &Tokenizer,
        weight_bytes: u64,
    ) -> (String, Option<FinishReason>) {
        if !self.is_generating() {
            self.prompt_speed = self.reading_speed(weight_bytes);
            self.clock = Clock::started(weight_bytes);
        }
        self.tokens.push(token);
        if tokenizer.ends_generation(token) {
            return (String::new(), Some(FinishReason::EndOfText));
        }
        let (text, stopped) = self.text.push(token);
        let reason = if stopped {
            Some(FinishReason::StopString)
        } else if self.tokens.len() - self.n_prompt >= self.max_tokens {
            Some(FinishReason::Length)
        } else if self.cache.len() == self.cache.context_len() {
            Some(FinishReason::Context)
        } else {
            None
        };
        (text, reason)
    }

    /// The speed at which the prompt was read since it was begun last.
    fn reading_speed(&self, weight_bytes: u64) -> Speed {
        self.clock.speed(self.cache.len() - self.n_reused, weight_bytes)
    }

    /// Ends the answer.
    pub fn finish(self, finish_reason: FinishReason, weight_bytes: u64) -> Finished {
        let (prompt_speed, speed) = match self.is_generating() {
            true => {
                let n_tokens = self.tokens.len() - self.n_prompt - 1;
                (self.prompt_speed, self.clock.speed(n_tokens, weight_bytes))
            }
            false => (self.reading_speed(weight_bytes), Speed::default()),
        };
        let (text, rest) = self.text.finish(finish_reason);
        let generated = Generated {
            text,
            tokens: self.tokens[self.n_prompt..].to_vec(),
            logprobs: self.logprobs,
            finish_reason,
            n_reused: self.n_reused,
            prompt_speed,
            speed,
            last_logits: self.last_logits,
        };
        let mut tokens = self.tokens;
        tokens.truncate(self.cache.len());
        Finished { generated, rest, tokens, cache: self.cache }
    }
}

/// What is left of a request that has ended.
pub(super) struct Finished {
    /// The answer.
    pub generated: Generated,
    /// The end of its text, which was held back.
    pub rest: String,
    /// The tokens that were read.
    pub tokens: Vec<u32>,
    /// What the model remembers of them.
    pub cache: KvCache,
}
