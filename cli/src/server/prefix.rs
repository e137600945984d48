//! How prompts begin.

use gatefold::engine::common_prefix;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Prompts that are looked at: enough to see what all have in common, and no later one can spoil it.
const N_FIRST: usize = 32;

/// What the first prompts have in common.
#[derive(Default)]
pub(super) struct FirstPrompts(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    n_prompts: usize,
    prefix: Vec<u32>,
}

impl FirstPrompts {
    /// Takes note of prompts.
    pub fn see(&self, prompts: &[Vec<u32>]) {
        let mut seen = self.seen();
        for prompt in prompts {
            match seen.n_prompts {
                0 => seen.prefix = prompt.clone(),
                1..N_FIRST => {
                    let n_common = common_prefix([&seen.prefix[..], prompt]).len();
                    seen.prefix.truncate(n_common);
                }
                _ => return,
            }
            seen.n_prompts += 1;
        }
    }

    /// The tokens with which all of them begin; none if there is but one, which is no reason to keep all
    /// of it.
    pub fn common_prefix(&self) -> Vec<u32> {
        let seen = self.seen();
        if seen.n_prompts > 1 { seen.prefix.clone() } else { Vec::new() }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
