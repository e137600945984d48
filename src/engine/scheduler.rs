//! Which tokens of which sequences make up the next step of the model.

mod admission;
mod step;

use super::limits::Limits;
use super::options::Options;
use super::prefix_cache::{self, PrefixCache};
use super::request::{Event, Refusal, Request, RequestId};
use super::sequence::Sequence;
use super::speed::Traffic;
use super::status::{Status, Work};
use super::turns::{Turns, n_interactive};
use crate::compute::Compute;
use crate::language_model::LanguageModel;
use crate::model::{KvCache, Model, ModelError, PageLayout, PagePool};
use crate::tokenizer::Tokenizer;
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Takes requests and works on many of them at once, by continuous batching.
///
/// Requests are admitted in the order in which they came, as soon as there is memory for their
/// prompts and for answers of some hundred tokens. If answers turn out longer and the memory is full,
/// the sequence with the least computed, other than the first, is preempted: it gives up its memory,
/// waits, and its keys and values are computed again. What it has made is not lost. Requests of the
/// background come after all others: [`Priority`](super::Priority).
pub struct Engine {
    model: Arc<Model>,
    tokenizer: Arc<Tokenizer>,
    compute: Arc<Compute>,
    limits: Limits,
    max_batched_tokens: usize,
    max_running: usize,
    pool: PagePool,
    /// The interactive ones first, in the order in which they came.
    waiting: VecDeque<Sequence>,
    /// The interactive ones first, in the order of admission.
    running: Vec<Sequence>,
    turns: Turns,
    /// Tokens of the next step that the background may have.
    background_budget: usize,
    prefix_cache: PrefixCache,
    next_id: u64,
    /// What all steps so far have read.
    traffic: Traffic,
    /// Tokens of all steps so far.
    n_computed: usize,
    work: Work,
}

impl Engine {
    /// An engine with nothing to do. What computes is shared with whoever else has it.
    ///
    /// # Errors
    /// If the model's heads do not fit the cache's format.
    pub fn new(
        model: &LanguageModel,
        compute: impl Into<Arc<Compute>>,
        options: Options,
    ) -> Result<Engine, ModelError> {
        let config = model.model.config();
        let layout = PageLayout::new(config, options.cache_format)?;
        let max_batched_tokens = options.max_batched_tokens.max(1);
        let pool = PagePool::new(layout, options.memory_bytes);
        let limits = Limits {
            model: Arc::clone(&model.model),
            layout,
            max_pages: pool.max_pages(),
            context_len: options.context_len,
        };
        Ok(Engine {
            model: Arc::clone(&model.model),
            tokenizer: Arc::clone(&model.tokenizer),
            compute: compute.into(),
            limits,
            max_batched_tokens,
            // Each may need a token of every step.
            max_running: options.max_running.clamp(1, max_batched_tokens),
            pool,
            waiting: VecDeque::new(),
            running: Vec::new(),
            turns: Turns::default(),
            background_budget: 0,
            prefix_cache: PrefixCache::default(),
            next_id: 0,
            traffic: Traffic::default(),
            n_computed: 0,
            work: Work::none(config.n_layers, config.n_experts),
        })
    }

    /// What decides whether a request is taken.
    pub(super) fn limits(&self) -> Limits {
        self.limits.clone()
    }

    /// Puts a request behind those of its priority that wait.
    ///
    /// # Errors
    /// If it could never be answered.
    pub fn submit(&mut self, request: Request) -> Result<RequestId, Refusal> {
        self.limits.check(&request)?;
        let cache = KvCache::in_pool(&self.pool, self.limits.context_len);
        let id = RequestId(self.next_id);
        let tokenizer = Arc::clone(&self.tokenizer);
        self.next_id += 1;
        self.wait(Sequence::new(id, request, tokenizer, self.compute.isa, cache));
        Ok(id)
    }

    /// Has a sequence wait for its turn.
    fn wait(&mut self, sequence: Sequence) {
        let turn = |sequence: &Sequence| (sequence.priority, sequence.id);
        let place = self.waiting.partition_point(|waiting| turn(waiting) < turn(&sequence));
        self.waiting.insert(place, sequence);
    }

    /// Ends a request; the next step tells so with what was made until then. One that has ended
    /// already stays as it is.
    pub fn cancel(&mut self, id: RequestId) {
        let mut sequences = self.waiting.iter_mut().chain(&mut self.running);
        if let Some(sequence) = sequences.find(|sequence| sequence.id == id) {
            sequence.is_cancelled = true;
        }
    }

    /// [Ends](Self::cancel) all requests.
    pub fn cancel_all(&mut self) {
        let sequences = self.waiting.iter_mut().chain(&mut self.running);
        sequences.for_each(|sequence| sequence.is_cancelled = true);
    }

    /// Whether all requests are answered.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Requests that wait for memory, or for their turn.
    pub fn n_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Requests that are worked on.
    pub fn n_running(&self) -> usize {
        self.running.len()
    }

    /// Bytes of keys and values, of running sequences and in the prefix cache.
    pub fn memory_bytes(&self) -> u64 {
        self.pool.layout().bytes_of(self.pool.n_used())
    }

    /// Tokens that went through the model so far, and bytes that were read from the disk for them, of a
    /// model that is larger than memory.
    pub fn disk_use(&self) -> (usize, u64) {
        (self.n_computed, self.traffic.disk_bytes)
    }

    /// How much there is to do, and was done.
    pub fn status(&self) -> Status {
        Status {
            n_waiting: self.n_waiting(),
            n_running: self.n_running(),
            n_background_waiting: self.n_waiting()
                - self.waiting.partition_point(Sequence::is_interactive),
            n_background_running: self.n_running() - n_interactive(&self.running),
            memory_bytes: self.memory_bytes(),
            work: self.work.clone(),
        }
    }

    /// Evicts everything from the prefix cache.
    pub fn clear_prefix_cache(&mut self) {
        while self.prefix_cache.evict_oldest() {}
    }

    /// Takes steps until all requests are answered. Once `interrupted`, those that are not are
    /// cancelled.
    pub fn run(&mut self, interrupted: &AtomicBool, listener: &mut dyn FnMut(RequestId, Event)) {
        while !self.is_idle() {
            if interrupted.load(Ordering::Relaxed) {
                self.cancel_all();
            }
            self.step(listener);
        }
    }

    /// Takes one step: some tokens of many sequences go through the model. `listener` hears what
    /// came of it.
    ///
    /// Each decoding sequence adds one token; the rest of the step's token budget is chunked
    /// prefill, in the order of admission. The background has its turn where nobody waits.
    pub fn step(&mut self, listener: &mut dyn FnMut(RequestId, Event)) {
        self.end_early(listener);
        let (waiting, running) = (&self.waiting, &self.running);
        self.background_budget =
            self.turns.background_budget(waiting, running, self.max_batched_tokens);
        self.admit();
        if self.running.is_empty() {
            return;
        }
        let chunk_lens = self.reserve();
        let chosen = self.forward(&chunk_lens);
        self.emit(&chunk_lens, chosen, listener);
    }

    /// Ends requests that were cancelled, or whose time is up.
    fn end_early(&mut self, listener: &mut dyn FnMut(RequestId, Event)) {
        let now = Instant::now();
        let mut sequences = self.running.iter().chain(&self.waiting);
        if sequences.all(|sequence| sequence.ending(now).is_none()) {
            return;
        }
        let running = mem::take(&mut self.running).into_iter().map(|sequence| (sequence, true));
        let waiting = mem::take(&mut self.waiting).into_iter().map(|sequence| (sequence, false));
        for (sequence, is_running) in running.chain(waiting) {
            match sequence.ending(now) {
                Some(reason) => self.finish(sequence, reason, None, listener),
                None if is_running => self.running.push(sequence),
                None => self.waiting.push_back(sequence),
            }
        }
    }

    /// An empty KV cache with pages of this engine.
    pub(super) fn empty_cache(&self) -> KvCache {
        KvCache::in_pool(&self.pool, self.limits.context_len)
    }

    /// The keys and values of the longest prefix of `tokens` that the engine has, if it has any.
    pub(super) fn export_prefix(&self, tokens: &[u32]) -> Option<KvCache> {
        let cache = prefix_cache::fork_longest(tokens, &self.running, &self.prefix_cache);
        cache.filter(|cache| !cache.is_empty())
    }

    /// Puts a prefix, computed elsewhere by the same model, into the prefix cache: its tokens, and
    /// their keys and values in pages of [this engine](Self::empty_cache).
    pub(super) fn import_prefix(&mut self, tokens: Vec<u32>, cache: KvCache) {
        self.prefix_cache.insert(tokens, cache, &self.pool);
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("n_waiting", &self.waiting.len())
            .field("n_running", &self.running.len())
            .finish_non_exhaustive()
    }
}
