//! Which tokens of which requests make up the next step of the model.

use super::member::{Finished, Member};
use super::options::Options;
use super::prefix::{self, Prefix, Remembered};
use super::prefix_file::{self, PrefixFileError};
use super::request::{Event, FinishReason, Refusal, Request, RequestId};
use crate::compute::Compute;
use crate::model::{KvCache, Model, ModelError, PageLayout, PagePool};
use crate::sampler::SamplerError;
use crate::tokenizer::Tokenizer;
use rayon::prelude::*;
use std::collections::{HashSet, VecDeque};
use std::mem;
use std::path::Path;
use std::time::Instant;

/// Takes requests and works on many of them at once.
///
/// Requests are admitted in the order in which they came, as soon as there is memory for their
/// prompts and for answers of some hundred tokens. If answers turn out longer and the memory is full,
/// the request of which least was read, other than the first, gives up its memory, waits, and is read
/// again: what it has made is not lost.
pub struct Engine<'m> {
    model: &'m Model,
    tokenizer: &'m Tokenizer,
    compute: &'m Compute,
    context_len: usize,
    step_len: usize,
    max_live: usize,
    pool: PagePool,
    /// In the order in which they came.
    waiting: VecDeque<Member<'m>>,
    /// Those that are worked on, in the order of admission.
    live: Vec<Member<'m>>,
    remembered: Remembered,
    next_id: u64,
    /// Bytes of weights read by all steps so far.
    weight_bytes: u64,
}

impl<'m> Engine<'m> {
    /// An engine with nothing to do.
    ///
    /// # Errors
    /// If the model's heads do not fit the cache's format.
    pub fn new(
        model: &'m Model,
        tokenizer: &'m Tokenizer,
        compute: &'m Compute,
        options: Options,
    ) -> Result<Engine<'m>, ModelError> {
        let layout = PageLayout::new(model.config(), options.cache_format)?;
        let step_len = options.step_len.max(1);
        Ok(Engine {
            model,
            tokenizer,
            compute,
            context_len: options.context_len,
            step_len,
            // Each may need a token of every step.
            max_live: options.max_live.clamp(1, step_len),
            pool: PagePool::new(layout, options.memory_bytes),
            waiting: VecDeque::new(),
            live: Vec::new(),
            remembered: Remembered::default(),
            next_id: 0,
            weight_bytes: 0,
        })
    }

    /// Puts a request behind those that wait.
    ///
    /// # Errors
    /// If it could never be answered.
    pub fn submit(&mut self, request: Request) -> Result<RequestId, Refusal> {
        if request.prompt.is_empty() {
            return Err(Refusal::EmptyPrompt);
        }
        let cache = KvCache::in_pool(&self.pool, self.context_len);
        self.model.check(&cache, &request.prompt)?;
        let id = RequestId(self.next_id);
        let member = Member::new(id, request, self.tokenizer, self.compute.isa, cache);
        let (layout, n_tokens) = (self.pool.layout(), member.max_len());
        let n_pages = layout.n_pages(n_tokens);
        if n_pages > self.pool.max_pages() {
            let wanted_bytes = layout.bytes_of(n_pages);
            let memory_bytes = layout.bytes_of(self.pool.max_pages());
            return Err(Refusal::Memory { n_tokens, wanted_bytes, memory_bytes });
        }
        self.next_id += 1;
        self.waiting.push_back(member);
        Ok(id)
    }

    /// Ends a request; the next step tells so with what was made until then. One that has ended
    /// already stays as it is.
    pub fn cancel(&mut self, id: RequestId) {
        let mut members = self.waiting.iter_mut().chain(&mut self.live);
        if let Some(member) = members.find(|member| member.id == id) {
            member.is_cancelled = true;
        }
    }

    /// Whether all requests are answered.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.live.is_empty()
    }

    /// Bytes of keys and values, of live sequences and of those that are remembered.
    pub fn memory_bytes(&self) -> u64 {
        self.pool.layout().bytes_of(self.pool.n_used())
    }

    /// Forgets what was read for requests that have ended.
    pub fn forget(&mut self) {
        while self.remembered.drop_oldest() {}
    }

    /// Takes one step: some tokens of many requests go through the model. `listener` hears what
    /// came of it.
    ///
    /// Every request that makes an answer gives one token. What is left of the step is filled with
    /// prompts, in the order of admission.
    pub fn step(&mut self, listener: &mut dyn FnMut(RequestId, Event<'_>)) {
        self.end_early(listener);
        self.admit();
        if self.live.is_empty() {
            return;
        }
        let chunk_lens = self.reserve();
        let chosen = self.forward(&chunk_lens);
        self.tell(&chunk_lens, chosen, listener);
    }

    /// Ends requests that were cancelled, or whose time is up.
    fn end_early(&mut self, listener: &mut dyn FnMut(RequestId, Event<'_>)) {
        let now = Instant::now();
        let mut members = self.live.iter().chain(&self.waiting);
        if members.all(|member| member.ending(now).is_none()) {
            return;
        }
        let members = mem::take(&mut self.live).into_iter().map(|member| (member, true));
        let waiting = mem::take(&mut self.waiting).into_iter().map(|member| (member, false));
        for (member, is_live) in members.chain(waiting) {
            match member.ending(now) {
                Some(reason) => self.finish(member, reason, listener),
                None if is_live => self.live.push(member),
                None => self.waiting.push_back(member),
            }
        }
    }

    /// Lets requests begin that waited for a prefix, and admits others as long as they fit.
    fn admit(&mut self) {
        for idx in 0..self.live.len() {
            let (earlier, rest) = self.live.split_at_mut(idx);
            let (member, later) = rest.split_first_mut().expect("idx is one of them");
            if member.has_begun() {
                continue;
            }
            let prefix = prefix::find(member, earlier, later, &self.remembered);
            if let Prefix::Read { cache, sequence_idx } = prefix {
                member.begin(cache, self.weight_bytes);
                sequence_idx.into_iter().for_each(|idx| self.remembered.touch(idx));
            }
        }
        while self.live.len() < self.max_live
            && let Some(mut member) = self.waiting.pop_front()
        {
            let mut used = None;
            let prefix = prefix::find(&member, &self.live, &[], &self.remembered);
            if let Prefix::Read { cache, sequence_idx } = prefix {
                member.begin(cache, self.weight_bytes);
                used = sequence_idx;
            }
            if self.most_pages_with(&member) > self.pool.max_pages() {
                member.unbegin(&self.pool, self.weight_bytes);
                self.waiting.push_front(member);
                break;
            }
            used.into_iter().for_each(|idx| self.remembered.touch(idx));
            self.live.push(member);
        }
    }

    /// Pages that the live requests and `candidate` are expected to hold together at most. Those that
    /// are full are never written to again, so shared ones count once; of all others, each sequence
    /// may need its own.
    fn most_pages_with(&self, candidate: &Member<'_>) -> usize {
        let layout = self.pool.layout();
        let mut full = HashSet::new();
        let own = self.live.iter().chain([candidate]).map(|member| {
            layout.n_pages(member.expected_len()) - member.cache.collect_full_pages(&mut full)
        });
        own.sum::<usize>() + full.len()
    }

    /// How many tokens of each live request go into the next step.
    fn chunk_lens(&self) -> Vec<usize> {
        // A token of each of them goes into every step.
        let n_up_to_date = self.live.iter().filter(|member| member.is_up_to_date()).count();
        let mut room = self.step_len - n_up_to_date;
        let chunk_len = |member: &Member<'_>| {
            if member.is_up_to_date() {
                return 1;
            }
            let chunk_len = if member.has_begun() { member.n_unread().min(room) } else { 0 };
            room -= chunk_len;
            chunk_len
        };
        self.live.iter().map(chunk_len).collect()
    }

    /// Makes room for the next step, and says how many tokens of each live request go into it. Where
    /// there is too little, first what is remembered is forgotten; then requests give up their memory,
    /// but never the first: it comes to its end in any case.
    fn reserve(&mut self) -> Vec<usize> {
        loop {
            let chunk_lens = self.chunk_lens();
            let mut chunks = self.live.iter_mut().zip(&chunk_lens);
            if chunks.all(|(member, &chunk_len)| member.cache.reserve(chunk_len).is_ok()) {
                return chunk_lens;
            }
            if self.remembered.drop_oldest() {
                continue;
            }
            // One that has no memory and asks for none, as it waits for a prefix, has none to give.
            let others = (1..self.live.len()).rev();
            let others = others.filter(|&idx| chunk_lens[idx] + self.live[idx].cache.len() > 0);
            // The one that has least to read again; of several, the last.
            let least = others.min_by_key(|&idx| self.live[idx].cache.len());
            let least = least.expect("none is accepted that does not fit when it is alone");
            let mut member = self.live.remove(least);
            member.unbegin(&self.pool, self.weight_bytes);
            let place = self.waiting.partition_point(|waiting| waiting.id < member.id);
            self.waiting.insert(place, member);
        }
    }

    /// Takes the step, and chooses tokens for the requests that have no more to read.
    fn forward(&mut self, chunk_lens: &[usize]) -> Vec<Result<u32, SamplerError>> {
        let chunks = self.live.iter_mut().zip(chunk_lens).filter(|&(_, &len)| len > 0);
        let mut chunks: Vec<_> = chunks.map(|(member, &len)| member.chunk(len)).collect();
        let logits = self.model.forward(self.compute, &mut chunks);
        let logits = logits.expect("prompts were checked when they came, and have their memory");
        self.weight_bytes += logits.weight_bytes;
        let all_read = self.live.iter_mut().filter(|member| member.n_unread() == 0);
        let mut rows: Vec<_> =
            all_read.zip(logits.values.chunks_exact(self.model.n_vocab())).collect();
        self.compute.run(|| {
            rows.par_iter_mut().with_max_len(1).map(|(member, row)| member.choose(row)).collect()
        })
    }

    /// Tells what came of a step, and lets go of the requests that it has ended.
    fn tell(
        &mut self,
        chunk_lens: &[usize],
        chosen: Vec<Result<u32, SamplerError>>,
        listener: &mut dyn FnMut(RequestId, Event<'_>),
    ) {
        let mut chosen = chosen.into_iter();
        for (mut member, &chunk_len) in mem::take(&mut self.live).into_iter().zip(chunk_lens) {
            if chunk_len > 0 && !member.is_generating() {
                let (n_read, n_reused) = (member.cache.len(), member.n_reused());
                listener(member.id, Event::Prompt { n_read, n_reused });
            }
            if member.n_unread() > 0 {
                self.live.push(member);
                continue;
            }
            let token = match chosen.next().expect("a choice for all who have read everything") {
                Ok(token) => token,
                Err(error) => {
                    listener(member.id, Event::Failed(error.into()));
                    continue;
                }
            };
            let (text, ending) = member.push(token, self.tokenizer, self.weight_bytes);
            if !text.is_empty() {
                listener(member.id, Event::Text(&text));
            }
            match ending {
                Some(reason) => self.finish(member, reason, listener),
                None => self.live.push(member),
            }
        }
    }

    fn finish(
        &mut self,
        member: Member<'m>,
        reason: FinishReason,
        listener: &mut dyn FnMut(RequestId, Event<'_>),
    ) {
        let id = member.id;
        let Finished { generated, rest, tokens, cache } = member.finish(reason, self.weight_bytes);
        if !rest.is_empty() {
            listener(id, Event::Text(&rest));
        }
        listener(id, Event::Done(generated));
        self.remembered.insert(tokens, cache, &self.pool);
    }

    /// How many tokens are remembered of the beginning of `tokens`.
    pub fn n_remembered(&self, tokens: &[u32]) -> usize {
        prefix::fork_longest(tokens, &self.live, &self.remembered).map_or(0, |cache| cache.len())
    }

    /// Saves what is remembered of the beginning of `tokens` to a file for [`Self::load_prefix`],
    /// and returns how many tokens that is. With none, there is no file. `fingerprint` identifies
    /// the model.
    ///
    /// # Errors
    /// If the file cannot be written; one that was there before is as it was then.
    pub fn save_prefix(
        &self,
        path: &Path,
        fingerprint: [u8; 32],
        tokens: &[u32],
    ) -> Result<usize, PrefixFileError> {
        let Some(cache) = prefix::fork_longest(tokens, &self.live, &self.remembered) else {
            return Ok(0);
        };
        if !cache.is_empty() {
            prefix_file::save(path, fingerprint, &tokens[..cache.len()], &cache)?;
        }
        Ok(cache.len())
    }

    /// Remembers what [`Self::save_prefix`] saved, and returns its tokens: prompts that begin with
    /// them need not read them.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, was made with another model or format, or does not
    /// fit into the memory. The engine is as it was then, and works without.
    pub fn load_prefix(
        &mut self,
        path: &Path,
        fingerprint: [u8; 32],
    ) -> Result<Vec<u32>, PrefixFileError> {
        let cache = KvCache::in_pool(&self.pool, self.context_len);
        let (tokens, cache) = prefix_file::load(path, fingerprint, cache)?;
        self.remembered.insert(tokens.clone(), cache, &self.pool);
        Ok(tokens)
    }
}
