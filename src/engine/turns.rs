//! Whose turn it is: what nobody waits for is worked on where somebody waits for nothing.

use super::request::Priority;
use super::sequence::Sequence;
use std::collections::VecDeque;

/// Steps that interactive requests which decode have for themselves, until the background has a part
/// of one: so it goes on slowly where there is always somebody.
const PATIENCE: usize = 64;

/// That part, as a divisor of the step's token budget: a full step takes as long as many short ones.
const PART: usize = 8;

/// Whether the background takes part in a step.
#[derive(Default)]
pub(super) struct Turns {
    /// Steps since it last did.
    n_without: usize,
}

impl Turns {
    /// Tokens of the next step, of `budget` in all, that the background may have: none while an
    /// interactive request waits or its prompt is read, all while there is none.
    pub fn background_budget(
        &mut self,
        waiting: &VecDeque<Sequence>,
        running: &[Sequence],
        budget: usize,
    ) -> usize {
        let interactive = &running[..n_interactive(running)];
        let is_somebody_waiting = waiting.front().is_some_and(Sequence::is_interactive)
            || interactive.iter().any(|sequence| !sequence.is_decoding());
        let background_budget = match () {
            () if is_somebody_waiting => 0,
            () if interactive.is_empty() => budget,
            () if self.n_without >= PATIENCE => budget.div_ceil(PART),
            () => 0,
        };
        self.n_without = if background_budget > 0 { 0 } else { self.n_without + 1 };
        background_budget
    }
}

/// How many running sequences are interactive: they come first.
pub(super) fn n_interactive(running: &[Sequence]) -> usize {
    running.partition_point(Sequence::is_interactive)
}

/// How many of these running sequences come before one of this priority.
pub(super) fn n_before(running: &[Sequence], priority: Priority) -> usize {
    running.partition_point(|sequence| sequence.priority <= priority)
}

/// Shares out a budget of tokens: one to each sequence that decodes, as far as it goes, and the rest as
/// chunked prefill, in order.
pub(super) fn share(sequences: &[Sequence], budget: usize) -> Vec<usize> {
    let n_decoding = sequences.iter().filter(|sequence| sequence.is_decoding()).count();
    let mut decode = n_decoding.min(budget);
    let mut prefill = budget - decode;
    let chunk_len = |sequence: &Sequence| {
        let (left, wanted) = match () {
            () if sequence.is_decoding() => (&mut decode, 1),
            () if sequence.has_begun() => (&mut prefill, sequence.max_chunk()),
            () => return 0,
        };
        let chunk_len = wanted.min(*left);
        *left -= chunk_len;
        chunk_len
    };
    sequences.iter().map(chunk_len).collect()
}
