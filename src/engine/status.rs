//! How much an engine has to do, and has done.

/// How much an engine has to do, and has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Requests that wait for memory, or for their turn.
    pub n_waiting: usize,
    /// Requests that are worked on.
    pub n_running: usize,
    /// Those among the waiting ones that are of the background.
    pub n_background_waiting: usize,
    /// Those among the ones that are worked on.
    pub n_background_running: usize,
    /// Bytes of keys and values, of running sequences and in the prefix cache.
    pub memory_bytes: u64,
    /// What it has done.
    pub work: Work,
}

/// What an engine has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Work {
    /// Steps of the model.
    pub n_steps: u64,
    /// How many tokens each expert has evaluated, `[n_layers][n_experts]`. A dense layer is one expert.
    pub expert_tokens: Vec<Vec<u64>>,
}

impl Work {
    /// Nothing yet, by a model with so many layers and experts.
    pub(super) fn none(n_layers: usize, n_experts: usize) -> Work {
        Work { n_steps: 0, expert_tokens: vec![vec![0; n_experts.max(1)]; n_layers] }
    }

    /// Counts a step, in which the experts of each layer have evaluated so many tokens.
    pub(super) fn add(&mut self, expert_tokens: &[Vec<u64>]) {
        self.n_steps += 1;
        let layers = self.expert_tokens.iter_mut().zip(expert_tokens);
        layers.for_each(|(all, new)| add_counts(all, new));
    }
}

/// Adds counts to others, of which there may be fewer so far, or more.
pub(super) fn add_counts(all: &mut Vec<u64>, new: &[u64]) {
    all.resize(all.len().max(new.len()), 0);
    all.iter_mut().zip(new).for_each(|(all, new)| *all += new);
}
