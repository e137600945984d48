//! Who has a place in the next step, and the memory for it.

use super::super::prefix_cache::{self, Prefix};
use super::super::request::Priority;
use super::super::sequence::Sequence;
use super::super::turns::{n_before, n_interactive, share};
use super::Engine;
use std::cmp::Reverse;
use std::collections::HashSet;

impl Engine {
    /// Lets sequences begin that waited for a prefix, and admits others as long as they fit.
    pub(super) fn admit(&mut self) {
        for idx in 0..self.running.len() {
            let (earlier, rest) = self.running.split_at_mut(idx);
            let (sequence, later) = rest.split_first_mut().expect("idx is one of them");
            if sequence.has_begun() {
                continue;
            }
            let prefix = prefix_cache::find(sequence, earlier, later, &self.prefix_cache);
            if let Prefix::Computed { cache, entry_idx } = prefix {
                sequence.begin(cache, self.traffic);
                entry_idx.into_iter().for_each(|idx| self.prefix_cache.touch(idx));
            }
        }
        while self.has_place()
            && let Some(mut sequence) = self.waiting.pop_front()
        {
            let place = n_before(&self.running, sequence.priority);
            let (earlier, later) = self.running.split_at(place);
            let mut used = None;
            let prefix = prefix_cache::find(&sequence, earlier, later, &self.prefix_cache);
            if let Prefix::Computed { cache, entry_idx } = prefix {
                sequence.begin(cache, self.traffic);
                used = entry_idx;
            }
            if self.most_pages(earlier, &sequence) > self.pool.max_pages() {
                sequence.preempt(&self.pool, self.traffic);
                self.waiting.push_front(sequence);
                break;
            }
            used.into_iter().for_each(|idx| self.prefix_cache.touch(idx));
            self.running.insert(place, sequence);
        }
    }

    /// Whether there is a place for the next that waits. What runs of the background takes none from the
    /// others, in whose steps it hardly is.
    fn has_place(&self) -> bool {
        let n_interactive = n_interactive(&self.running);
        match self.waiting.front().map(|sequence| sequence.priority) {
            None => false,
            Some(Priority::Interactive) => n_interactive < self.max_running,
            Some(Priority::Background) => {
                let n_background = self.running.len() - n_interactive;
                self.background_budget > 0 && n_background < self.max_running
            }
        }
    }

    /// Pages that `candidate` and the running sequences before it are expected to hold together at most;
    /// those behind it give way. Pages that are full are never written to again, so shared ones count
    /// once; of all others, each sequence may need its own.
    fn most_pages(&self, earlier: &[Sequence], candidate: &Sequence) -> usize {
        let layout = self.pool.layout();
        let mut full = HashSet::new();
        let own = earlier.iter().chain([candidate]).map(|sequence| {
            layout.n_pages(sequence.expected_len()) - sequence.cache.collect_full_pages(&mut full)
        });
        own.sum::<usize>() + full.len()
    }

    /// How many tokens of each running sequence go into the next step.
    fn chunk_lens(&self) -> Vec<usize> {
        let (interactive, background) = self.running.split_at(n_interactive(&self.running));
        let mut chunk_lens = share(interactive, self.max_batched_tokens);
        let n_left = self.max_batched_tokens - chunk_lens.iter().sum::<usize>();
        chunk_lens.extend(share(background, n_left.min(self.background_budget)));
        chunk_lens
    }

    /// Makes room for the next step, and says how many tokens of each running sequence go into it.
    /// Where there is too little, first the prefix cache is evicted; then sequences are preempted, of the
    /// background before others, but never the first: it comes to its end in any case.
    pub(super) fn reserve(&mut self) -> Vec<usize> {
        loop {
            let chunk_lens = self.chunk_lens();
            let mut chunks = self.running.iter_mut().zip(&chunk_lens);
            if chunks.all(|(sequence, &chunk_len)| sequence.cache.reserve(chunk_len).is_ok()) {
                return chunk_lens;
            }
            if self.prefix_cache.evict_oldest() {
                continue;
            }
            // One that has no memory and asks for none, as it waits for a prefix, has none to give.
            let others = (1..self.running.len()).rev();
            let others = others.filter(|&idx| chunk_lens[idx] + self.running[idx].cache.len() > 0);
            // The one that has least to compute again; of several, the last.
            let least = others.min_by_key(|&idx| {
                let sequence = &self.running[idx];
                (Reverse(sequence.priority), sequence.cache.len())
            });
            let least = least.expect("none is accepted that does not fit when it is alone");
            let mut sequence = self.running.remove(least);
            sequence.preempt(&self.pool, self.traffic);
            self.wait(sequence);
        }
    }
}
