//! How many tokens a run has read and written.

use gatefold::engine::{Event, RequestId};
use std::collections::HashMap;

/// Tokens of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens of prompts that were computed.
    pub n_read: usize,
    /// Tokens of prompts that came from the prefix cache, since others begin with them too, or from
    /// `--prompt-cache`.
    pub n_reused: usize,
    /// Tokens of answers.
    pub n_written: usize,
}

/// Counts the tokens of requests by their events. A preempted prompt, computed again, counts once.
#[derive(Debug, Default)]
pub struct Tally {
    all: Tokens,
    /// Those of requests that have not ended.
    open: HashMap<RequestId, Tokens>,
}

impl Tally {
    /// Those of all requests.
    pub fn tokens(&self) -> Tokens {
        self.all
    }

    /// Takes note of what became of a request, and returns how many more tokens that are.
    pub fn on_event(&mut self, id: RequestId, event: &Event) -> usize {
        let before = self.open.remove(&id).unwrap_or_default();
        let mut now = before;
        match *event {
            Event::Prefill { n_computed: n_read, n_reused } => {
                let n_before = now.n_read + now.n_reused;
                if n_before == 0 {
                    (now.n_read, now.n_reused) = (n_read - n_reused, n_reused);
                } else {
                    // One that is read again may begin like others then: that takes nothing back.
                    now.n_read += n_read.saturating_sub(n_before);
                }
            }
            Event::Delta(ref delta) => now.n_written += delta.tokens.len(),
            _ => {}
        }
        if matches!(event, Event::Prefill { .. } | Event::Delta(_)) {
            self.open.insert(id, now);
        }
        let all = &mut self.all;
        all.n_read = all.n_read + now.n_read - before.n_read;
        all.n_reused = all.n_reused + now.n_reused - before.n_reused;
        all.n_written = all.n_written + now.n_written - before.n_written;
        let sum = |tokens: Tokens| tokens.n_read + tokens.n_reused + tokens.n_written;
        sum(now).saturating_sub(sum(before))
    }
}
