//! A request on its way through the engine.

use super::held::Held;
use super::logits_session::MAX_LOGITS_ROWS;
use super::output_text::OutputText;
use super::request::{
    Delta, FinishReason, GenerateError, Generated, Priority, PromptLogprobs, Request, RequestId,
    Token, TokenLogprobs,
};
use super::speed::{Clock, Speed, Traffic};
use crate::model::{Chunk, KvCache, PagePool, Routes, Wanted};
use crate::sampler::Sampler;
use crate::tokenizer::Tokenizer;
use gatefold_quant::Isa;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Tokens of an answer for which memory is set aside when it begins. Few answers are longer, and most
/// requests that allow for more, or do not say, do without.
const EXPECTED_TOKENS: usize = 256;

/// A sequence of tokens, prompt and answer, from submission to the last token.
pub(super) struct Sequence {
    /// Names the request.
    pub id: RequestId,
    /// Whether somebody waits for its answer.
    pub priority: Priority,
    /// Whether the request is to end before the next step.
    pub is_cancelled: bool,
    /// Keys and values of the tokens that were computed.
    pub cache: KvCache,
    /// What the routers chose for the tokens of the last step, where that is wanted.
    pub routes: Option<Routes>,
    /// The prompt, then the answer.
    tokens: Vec<u32>,
    n_prompt: usize,
    max_tokens: usize,
    max_len: usize,
    n_logprobs: Option<usize>,
    wanted_of_prompt: Option<PromptLogprobs>,
    wants_routes: bool,
    deadline: Option<Instant>,
    sampler: Sampler,
    held: Option<Held>,
    text: OutputText,
    logprobs: Vec<TokenLogprobs>,
    prompt_logprobs: Vec<TokenLogprobs>,
    n_reused: usize,
    /// Runs from the beginning of prefill, then from the first token of the answer, while the
    /// sequence is running.
    clock: Clock,
    prompt_speed: Speed,
    last_logits: Vec<f32>,
}

impl Sequence {
    /// A request that waits, with an empty cache.
    pub fn new(
        id: RequestId,
        request: Request,
        tokenizer: Arc<Tokenizer>,
        isa: Isa,
        cache: KvCache,
    ) -> Sequence {
        Sequence {
            id,
            priority: request.priority,
            is_cancelled: false,
            max_len: request.max_len(cache.context_len()),
            cache,
            routes: None,
            n_prompt: request.prompt.len(),
            tokens: request.prompt,
            max_tokens: request.max_tokens.unwrap_or(usize::MAX),
            n_logprobs: request.n_logprobs,
            wanted_of_prompt: request.prompt_logprobs,
            wants_routes: request.wants_routes,
            deadline: request.deadline,
            sampler: Sampler::new(isa, request.sampling).without(Arc::clone(tokenizer.padding())),
            held: request.constraint.map(|form| Held::new(form, request.is_own_text)),
            text: OutputText::new(tokenizer, request.is_own_text, request.stops),
            logprobs: Vec::new(),
            prompt_logprobs: Vec::new(),
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

    /// Whether somebody waits for its answer.
    pub fn is_interactive(&self) -> bool {
        self.priority == Priority::Interactive
    }

    /// Whether prefill has begun.
    pub fn has_begun(&self) -> bool {
        self.clock.is_running()
    }

    /// Whether the prompt is computed, and tokens are made.
    pub fn is_generating(&self) -> bool {
        self.tokens.len() > self.n_prompt
    }

    /// Whether it decodes: nothing is uncomputed but the last token of an answer.
    pub fn is_decoding(&self) -> bool {
        self.is_generating() && self.n_uncomputed() == 1
    }

    /// Tokens of the prompt that came from the prefix cache.
    pub fn n_reused(&self) -> usize {
        self.n_reused
    }

    /// Tokens without keys and values yet: what is left of the prompt, or the last of the answer.
    pub fn n_uncomputed(&self) -> usize {
        self.tokens.len() - self.cache.len()
    }

    /// How many of them a step may take at most: a chunk ends before the first token whose logits are
    /// wanted, and has no more of these than there is memory for.
    pub fn max_chunk(&self) -> usize {
        let n_uncomputed = self.n_uncomputed();
        let Some(token_idx) = self.next_prompt_logprob() else { return n_uncomputed };
        match token_idx - 1 - self.cache.len() {
            0 => n_uncomputed.min(MAX_LOGITS_ROWS),
            n_without => n_without,
        }
    }

    /// How much of the tokens the prefix cache may give: all but those whose logits are wanted still.
    pub fn n_reusable(&self) -> usize {
        let last = self.tokens.len() - 1;
        self.next_prompt_logprob().map_or(last, |token_idx| last.min(token_idx - 1))
    }

    /// Tokens that the cache is expected to hold at most. An answer that is longer than most may be
    /// as long again.
    pub fn expected_len(&self) -> usize {
        let n_expected = EXPECTED_TOKENS.max(2 * (self.tokens.len() - self.n_prompt));
        self.max_len.min(self.n_prompt.saturating_add(n_expected))
    }

    /// Why the request ends before the next step, if it does.
    pub fn ending(&self, now: Instant) -> Option<FinishReason> {
        if self.is_cancelled {
            Some(FinishReason::Cancelled)
        } else {
            self.deadline.filter(|&deadline| deadline <= now).map(|_| FinishReason::Deadline)
        }
    }

    /// Begins prefill behind what `cache` has of the tokens; all steps so far have read
    /// `traffic`.
    pub fn begin(&mut self, cache: KvCache, traffic: Traffic) {
        if !self.is_generating() {
            self.n_reused = cache.len();
        }
        self.cache = cache;
        self.clock.start(traffic);
    }

    /// Is preempted: gives up its keys and values, to be computed again. All steps so far have read
    /// `traffic`.
    pub fn preempt(&mut self, pool: &PagePool, traffic: Traffic) {
        if self.is_generating() {
            self.clock.pause(traffic);
        } else {
            self.n_reused = 0;
            self.clock = Clock::default();
        }
        self.cache = KvCache::in_pool(pool, self.cache.context_len());
    }

    /// The next `n_tokens` that are uncomputed, as a part of a step; and what the answer is held to,
    /// where the step leads to its next token.
    pub fn chunk(&mut self, n_tokens: usize) -> (Chunk<'_>, Option<&mut Held>) {
        let wanted = self.wanted(n_tokens);
        let is_last = n_tokens == self.n_uncomputed() && self.max_tokens > 0;
        let tokens = &self.tokens[self.cache.len()..][..n_tokens];
        (Chunk { cache: &mut self.cache, tokens, wanted }, self.held.as_mut().filter(|_| is_last))
    }

    /// For which of the next `n_tokens` logits are wanted.
    fn wanted(&self, n_tokens: usize) -> Wanted {
        let end = self.cache.len() + n_tokens;
        match self.next_prompt_logprob() {
            Some(token_idx) if token_idx <= end => Wanted::All,
            _ if end == self.tokens.len() => Wanted::Last,
            _ => Wanted::None,
        }
    }

    /// The next token of the prompt whose log probability is wanted. The first of all has none.
    fn next_prompt_logprob(&self) -> Option<usize> {
        let first = self.wanted_of_prompt?.first.max(1);
        Some(first + self.prompt_logprobs.len()).filter(|&token_idx| token_idx < self.n_prompt)
    }

    /// Rows of logits that a step gives for the next `n_tokens`.
    pub fn n_logits(&self, n_tokens: usize) -> usize {
        match self.wanted(n_tokens) {
            Wanted::None => 0,
            Wanted::Last => n_tokens.min(1),
            Wanted::All => n_tokens,
        }
    }

    /// Whether it is wanted what the routers choose.
    pub fn wants_routes(&self) -> bool {
        self.wants_routes
    }

    /// Takes what the routers chose for these tokens of a step, if that is wanted.
    pub fn take_routes(&mut self, routes: &Routes, tokens: Range<usize>) {
        if self.wants_routes && !tokens.is_empty() {
            self.routes.get_or_insert_default().extend_from(routes, tokens);
        }
    }

    /// Takes the logits of the last tokens computed, `[n, n_vocab]`: keeps the log probabilities that
    /// are wanted of the prompt, and chooses the next token where all tokens are computed.
    pub fn take_logits(
        &mut self,
        logits: &[f32],
        n_vocab: usize,
    ) -> Result<Option<u32>, GenerateError> {
        if let (Some(next), Some(wanted)) = (self.next_prompt_logprob(), self.wanted_of_prompt) {
            let n_rows = logits.len() / n_vocab;
            let n_before = next - (self.cache.len() - n_rows + 1);
            let rows = logits.par_chunks_exact(n_vocab).skip(n_before);
            let rows = rows.zip(&self.tokens[next..self.n_prompt]);
            let logprobs = rows.map(|(row, &token)| TokenLogprobs::new(row, token, wanted.n_top));
            self.prompt_logprobs.par_extend(logprobs);
        }
        match logits.chunks_exact(n_vocab).next_back() {
            Some(last) if self.n_uncomputed() == 0 => {
                self.last_logits.clear();
                self.last_logits.extend_from_slice(last);
                if self.max_tokens > 0 { self.choose(last).map(Some) } else { Ok(None) }
            }
            _ => Ok(None),
        }
    }

    /// Chooses the next token by the logits that follow the last one, `[n_vocab]`.
    fn choose(&mut self, logits: &[f32]) -> Result<u32, GenerateError> {
        let allowed = self.held.as_mut().map(Held::take_allowed).transpose()?;
        let token = self.sampler.choose_among(allowed.as_ref(), logits, &self.tokens)?;
        if let Some(n_top) = self.n_logprobs {
            self.logprobs.push(TokenLogprobs::new(logits, token, n_top));
        }
        Ok(token)
    }

    /// Appends a token to the answer. Returns what it adds, and why the answer ends with it, if it
    /// does.
    ///
    /// # Errors
    /// If the token is not one of the answer's form.
    pub fn push(
        &mut self,
        token: u32,
        tokenizer: &Tokenizer,
        traffic: Traffic,
    ) -> Result<(Delta, Option<FinishReason>), GenerateError> {
        if !self.is_generating() {
            self.prompt_speed = self.prefill_speed(traffic);
            self.clock = Clock::started(traffic);
        }
        self.tokens.push(token);
        let tokens = vec![Token { id: token, logprobs: self.logprobs.last().cloned() }];
        if tokenizer.ends_generation(token) {
            return Ok((Delta { tokens, text: String::new() }, Some(FinishReason::EndOfText)));
        }
        let (text, stopped) = self.text.push(token);
        let is_complete = self.held.as_mut().map_or(Ok(false), |held| held.push(token))?;
        let reason = if stopped {
            Some(FinishReason::StopString)
        } else if is_complete {
            Some(FinishReason::EndOfText)
        } else if self.tokens.len() - self.n_prompt >= self.max_tokens {
            Some(FinishReason::Length)
        } else if self.cache.len() == self.cache.context_len() {
            Some(FinishReason::Context)
        } else {
            None
        };
        Ok((Delta { tokens, text }, reason))
    }

    /// The speed of prefill since it was begun last.
    fn prefill_speed(&self, traffic: Traffic) -> Speed {
        self.clock.speed(self.cache.len() - self.n_reused, traffic)
    }

    /// Ends the answer.
    pub fn finish(self, finish_reason: FinishReason, traffic: Traffic) -> Finished {
        let (prompt_speed, speed) = match self.is_generating() {
            true => {
                let n_tokens = self.tokens.len() - self.n_prompt - 1;
                (self.prompt_speed, self.clock.speed(n_tokens, traffic))
            }
            false => (self.prefill_speed(traffic), Speed::default()),
        };
        let (text, rest) = self.text.finish(finish_reason);
        let generated = Generated {
            text,
            tokens: self.tokens[self.n_prompt..].to_vec(),
            logprobs: self.logprobs,
            prompt_logprobs: self.prompt_logprobs,
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
    /// The tokens that were computed.
    pub tokens: Vec<u32>,
    /// Their keys and values.
    pub cache: KvCache,
}
