//! Prompts that begin like something that was read already.

use super::member::Member;
use crate::model::pages::TILE_LEN;
use crate::model::{KvCache, PagePool};
use std::collections::VecDeque;

/// Sequences remembered at most. Each is compared with every new prompt, and beyond this many the
/// chance that an old one helps is small.
const MAX_REMEMBERED: usize = 256;

/// What finished sequences may hold of all pages, as a divisor: the memory is for live requests.
const SHARE: usize = 8;

/// A prompt waits for another request only if it saves reading this many tokens.
const WORTH_WAITING: usize = TILE_LEN;

/// Sequences that are finished, but whose keys and values are kept for prompts to come.
#[derive(Default)]
pub(super) struct Remembered {
    /// The least recently used first.
    sequences: VecDeque<Sequence>,
}

struct Sequence {
    tokens: Vec<u32>,
    cache: KvCache,
}

impl Remembered {
    /// Keeps a sequence, in place of those that it goes on from, and forgets those that are too many
    /// with it. It stays itself, whatever its length: a conversation goes on from it.
    pub fn insert(&mut self, tokens: Vec<u32>, cache: KvCache, pool: &PagePool) {
        if tokens.is_empty() || self.sequences.iter().any(|known| known.tokens.starts_with(&tokens))
        {
            return;
        }
        self.sequences.retain(|known| !tokens.starts_with(&known.tokens));
        self.sequences.push_back(Sequence { tokens, cache });
        let n_pages = |known: &Sequence| pool.layout().n_pages(known.cache.len());
        let mut n_held: usize = self.sequences.iter().map(n_pages).sum();
        while self.sequences.len() > 1
            && (n_held > pool.max_pages() / SHARE || self.sequences.len() > MAX_REMEMBERED)
        {
            n_held -= self.sequences.pop_front().map_or(0, |oldest| n_pages(&oldest));
        }
    }

    /// Forgets the sequence that was used longest ago. False if there is none.
    pub fn drop_oldest(&mut self) -> bool {
        self.sequences.pop_front().is_some()
    }

    /// The sequence that shares most tokens with the beginning of `tokens`, and how many.
    fn longest(&self, tokens: &[u32]) -> Option<(usize, usize)> {
        let shared = self.sequences.iter().map(|sequence| shared_len(&sequence.tokens, tokens));
        shared.enumerate().max_by_key(|&(_, shared)| shared)
    }

    /// Counts a sequence as used now.
    pub fn touch(&mut self, sequence_idx: usize) {
        self.sequences.make_contiguous()[sequence_idx..].rotate_left(1);
    }
}

/// Where the beginning of a prompt can be had.
pub(super) enum Prefix {
    /// This much of it is remembered, which may be nothing.
    Read {
        /// What is remembered.
        cache: KvCache,
        /// The finished sequence that it is of, if it is of one.
        sequence_idx: Option<usize>,
    },
    /// Another request is reading it: it is worth waiting.
    Awaited,
}

/// Looks for the longest beginning of a member's tokens, without the last: reading that gives the
/// logits. `earlier` and `later` are the other members; only those before it are waited for, so
/// that no two wait for each other.
pub(super) fn find(
    member: &Member<'_>,
    earlier: &[Member<'_>],
    later: &[Member<'_>],
    remembered: &Remembered,
) -> Prefix {
    let (_, tokens) = member.tokens().split_last().expect("empty prompts are refused");
    let finished = remembered.longest(tokens);
    let mut best_len = finished.map_or(0, |(_, shared)| shared);
    let (mut best, mut complete_len, mut awaited_len) = (None, best_len, 0);
    let others = earlier.iter().map(|other| (other, true));
    for (other, is_earlier) in others.chain(later.iter().map(|other| (other, false))) {
        let shared = shared_len(other.tokens(), tokens);
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
    let (cache, sequence_idx) = match (best, finished) {
        (Some(other), _) => (other.cache.fork(best_len), None),
        (None, Some((sequence_idx, len))) if len > 0 => {
            (remembered.sequences[sequence_idx].cache.fork(len), Some(sequence_idx))
        }
        _ => (member.cache.fork(0), None),
    };
    Prefix::Read { cache, sequence_idx }
}

/// What members or finished sequences remember of the beginning of `tokens`.
pub(super) fn fork_longest(
    tokens: &[u32],
    members: &[Member<'_>],
    remembered: &Remembered,
) -> Option<KvCache> {
    let finished = remembered.sequences.iter().map(|known| (&known.tokens[..], &known.cache));
    let live = members.iter().map(|member| (member.tokens(), &member.cache));
    let lens = finished.chain(live).map(|(known, cache)| {
        let len = shared_len(known, tokens).min(cache.len());
        (len, cache)
    });
    lens.max_by_key(|&(len, _)| len).map(|(len, cache)| cache.fork(len))
}

/// How many tokens two sequences have in common from the beginning.
pub(super) fn shared_len(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
