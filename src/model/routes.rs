//! What the routers of a step choose, for whoever watches them, and what they may not choose.

use super::input_sums::InputSums;
use super::random_routers::RandomRouters;
use super::weights::Matrix;
use std::ops::Range;
use std::sync::Arc;

/// An expert that a token is sent to, and how much its output counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The expert.
    pub expert_idx: usize,
    /// Its weight: the softmax of the router's logits over the chosen experts.
    pub weight: f32,
}

/// What is wanted of a step beside its results.
#[derive(Default)]
pub struct Gates<'a> {
    /// Takes what they choose, in place of what it had.
    pub routes: Option<&'a mut Routes>,
    /// An expert that is left out, by its layer and its index there: its tokens go to the next best
    /// ones, as if the file had neither the expert nor its row of the router.
    pub without: Option<(usize, usize)>,
    /// Adds up the squares of what the matrices are multiplied with.
    pub inputs: Option<&'a mut InputSums>,
}

/// What the routers chose for some tokens, layer by layer. A dense model has no layers here.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    n_ranks: usize,
    layers: Vec<LayerRoutes>,
    random: Option<Arc<RandomRouters>>,
}

/// What one router chose.
#[derive(Clone, Debug, Default)]
struct LayerRoutes {
    /// `[n_tokens, n_ranks]`
    choices: Vec<Choice>,
    /// The first choice of each random router, `[n_tokens, n_routers]`.
    random: Vec<u16>,
}

impl Routes {
    /// None yet, with a place for the first choices of `random` routers beside the model's.
    pub fn beside(random: Arc<RandomRouters>) -> Routes {
        Routes { random: Some(random), ..Routes::default() }
    }

    /// Layers with a router.
    pub fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// How many experts take each token.
    pub fn n_ranks(&self) -> usize {
        self.n_ranks
    }

    /// Tokens.
    pub fn n_tokens(&self) -> usize {
        self.layers.first().map_or(0, |layer| layer.choices.len() / self.n_ranks)
    }

    /// The experts of a token in a layer, the router's first choice first, `[n_ranks]`.
    pub fn of(&self, layer_idx: usize, token_idx: usize) -> &[Choice] {
        &self.layers[layer_idx].choices[token_idx * self.n_ranks..][..self.n_ranks]
    }

    /// The first choice of each random router for a token in a layer, `[n_routers]`.
    pub fn random_of(&self, layer_idx: usize, token_idx: usize) -> &[u16] {
        let n_routers = self.random.as_ref().map_or(0, |random| random.n_routers());
        &self.layers[layer_idx].random[token_idx * n_routers..][..n_routers]
    }

    /// Appends what was chosen for some tokens of another step.
    pub fn extend_from(&mut self, other: &Routes, tokens: Range<usize>) {
        let Routes { n_ranks, .. } = *other;
        let n_routers = other.random.as_ref().map_or(0, |random| random.n_routers());
        self.n_ranks = n_ranks;
        self.random.clone_from(&other.random);
        self.layers.resize_with(other.layers.len(), LayerRoutes::default);
        let cut = |n: usize| tokens.start * n..tokens.end * n;
        for (layer, other) in self.layers.iter_mut().zip(&other.layers) {
            layer.choices.extend_from_slice(&other.choices[cut(n_ranks)]);
            layer.random.extend_from_slice(&other.random[cut(n_routers)]);
        }
    }

    /// Forgets all tokens.
    pub fn clear(&mut self) {
        self.layers.clear();
    }

    /// Takes what the router of the next layer chose, a token after the other, and the first choices
    /// of random ones.
    pub(super) fn push_layer(&mut self, choices: &[Vec<Choice>], random: Vec<u16>) {
        self.n_ranks = choices.first().map_or(0, Vec::len);
        self.layers.push(LayerRoutes { choices: choices.concat(), random });
    }
}

impl Gates<'_> {
    /// The random routers of a layer, if their choices are wanted.
    pub(super) fn random(&self, layer_idx: usize) -> Option<Matrix> {
        let random = self.routes.as_ref()?.random.as_ref()?;
        (random.n_routers() > 0).then(|| random.layer(layer_idx))
    }

    /// Whether somebody wants to know what the matrices are multiplied with.
    pub(super) fn watch_inputs(&self) -> bool {
        self.inputs.is_some()
    }

    /// Experts of each random router.
    pub(super) fn n_random_experts(&self) -> usize {
        let random = self.routes.as_ref().and_then(|routes| routes.random.as_ref());
        random.map_or(1, |random| random.n_experts())
    }

    /// The expert that a layer must do without.
    pub(super) fn left_out(&self, layer_idx: usize) -> Option<usize> {
        let (layer, expert_idx) = self.without?;
        (layer == layer_idx).then_some(expert_idx)
    }
}
