//! The prefix cache: prompts that begin like something that was computed already.

use super::sequence::Sequence;
use crate::model::TILE_LEN;
use crate::model::{KvCache, PagePool};
use std::collections::VecDeque;

/// Most entries. Each is compared with every new prompt, and beyond this many the chance that an old
/// one helps is small.
const MAX_ENTRIES: usize = 256;

/// What finished sequences may hold of all pages, as a divisor: the memory is for running ones.
const SHARE: usize = 8;

/// A prompt waits for another sequence only if it saves prefill of this many tokens.
const WORTH_WAITING: usize = TILE_LEN;

/// Finished sequences whose keys and values are kept for prompts to come.
#[derive(Default)]
pub(super) struct PrefixCache {
    /// The least recently used first.
    entries: VecDeque<Entry>,
}

struct Entry {
    tokens: Vec<u32>,
    cache: KvCache,
}

impl PrefixCache {
    /// Keeps a sequence, in place of those that it goes on from, and evicts those that are too many
    /// with it. It stays itself, whatever its length: a conversation goes on from it.
    pub fn insert(&mut self, tokens: Vec<u32>, cache: KvCache, pool: &PagePool) {
        if tokens.is_empty() || self.entries.iter().any(|known| known.tokens.starts_with(&tokens)) {
            return;
        }
        self.entries.retain(|known| !tokens.starts_with(&known.tokens));
        self.entries.push_back(Entry { tokens, cache });
        let n_pages = |known: &Entry| pool.layout().n_pages(known.cache.len());
        let mut n_held: usize = self.entries.iter().map(n_pages).sum();
        while self.entries.len() > 1
            && (n_held > pool.max_pages() / SHARE || self.entries.len() > MAX_ENTRIES)
        {
            n_held -= self.entries.pop_front().map_or(0, |oldest| n_pages(&oldest));
        }
    }

    /// Evicts the least recently used entry. False if there is none.
    pub fn evict_oldest(&mut self) -> bool {
        self.entries.pop_front().is_some()
    }

    /// The entry with the longest common prefix with `tokens`, and its length.
    fn longest(&self, tokens: &[u32]) -> Option<(usize, usize)> {
        let shared = self.entries.iter().map(|entry| common_prefix_len(&entry.tokens, tokens));
        shared.enumerate().max_by_key(|&(_, shared)| shared)
    }

    /// Counts an entry as used now.
    pub fn touch(&mut self, entry_idx: usize) {
        self.entries.make_contiguous()[entry_idx..].rotate_left(1);
    }
}

/// Where the prefix of a prompt can be had.
pub(super) enum Prefix {
    /// This much of it is computed, which may be nothing.
    Computed {
        /// Its keys and values.
        cache: KvCache,
        /// The entry of the prefix cache that it is of, if it is of one.
        entry_idx: Option<usize>,
    },
    /// Another sequence is computing it: it is worth waiting.
    Awaited,
}

/// Looks for the longest computed prefix of a sequence's tokens, without those whose logits are
/// wanted. `earlier` and `later` are the other sequences; only those before it are waited for, so
/// that no two wait for each other.
pub(super) fn find(
    sequence: &Sequence,
    earlier: &[Sequence],
    later: &[Sequence],
    finished: &PrefixCache,
) -> Prefix {
    let tokens = &sequence.tokens()[..sequence.n_reusable()];
    let entry = finished.longest(tokens);
    let mut best_len = entry.map_or(0, |(_, shared)| shared);
    let (mut best, mut complete_len, mut awaited_len) = (None, best_len, 0);
    let others = earlier.iter().map(|other| (other, true));
    for (other, is_earlier) in others.chain(later.iter().map(|other| (other, false))) {
        let shared = common_prefix_len(other.tokens(), tokens);
        let read = shared.min(other.cache.len());
        if read == shared || other.is_generating() {
            complete_len = complete_len.max(read);
        } else if is_earlier {
            awaited_len = awaited_len.max(shared);
        }
        if read > best_len {
            (best, best_len) = (Some(other), read);
        }
    }
    if awaited_len >= complete_len + WORTH_WAITING {
        return Prefix::Awaited;
    }
    let (cache, entry_idx) = match (best, entry) {
        (Some(other), _) => (other.cache.fork(best_len), None),
        (None, Some((entry_idx, len))) if len > 0 => {
            (finished.entries[entry_idx].cache.fork(len), Some(entry_idx))
        }
        _ => (sequence.cache.fork(0), None),
    };
    Prefix::Computed { cache, entry_idx }
}

/// The keys and values of the longest prefix of `tokens` that running or finished sequences have.
pub(super) fn fork_longest(
    tokens: &[u32],
    running: &[Sequence],
    finished: &PrefixCache,
) -> Option<KvCache> {
    let finished = finished.entries.iter().map(|entry| (&entry.tokens[..], &entry.cache));
    let running = running.iter().map(|sequence| (sequence.tokens(), &sequence.cache));
    let lens = finished.chain(running).map(|(known, cache)| {
        let len = common_prefix_len(known, tokens).min(cache.len());
        (len, cache)
    });
    lens.max_by_key(|&(len, _)| len).map(|(len, cache)| cache.fork(len))
}

/// The tokens with which all of these prompts begin.
pub fn common_prefix<'a>(prompts: impl IntoIterator<Item = &'a [u32]>) -> &'a [u32] {
    let common = prompts.into_iter().reduce(|a, b| &a[..common_prefix_len(a, b)]);
    common.unwrap_or_default()
}

/// The length of the common prefix of two sequences of tokens.
pub(super) fn common_prefix_len(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
