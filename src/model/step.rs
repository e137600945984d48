//! A step: one pass of chunks of any number of sequences through all layers.

use super::KvCache;
use super::rope::Rotation;

/// Some consecutive tokens of one sequence: its part of a step.
pub struct Chunk<'a> {
    /// The sequence's KV cache, to which the step appends these tokens.
    pub cache: &'a mut KvCache,
    /// The tokens that follow those in the cache.
    pub tokens: &'a [u32],
    /// For which of them the logits are wanted.
    pub wanted: Wanted,
}

/// For which tokens of a chunk the logits are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// For none: more of the prompt follows.
    None,
    /// For the last token.
    Last,
    /// For every token.
    All,
}

/// What a step computed.
pub struct Logits {
    /// `[n_wanted, n_vocab]`, chunk after chunk.
    pub values: Vec<f32>,
    /// Bytes of weights that the step read.
    pub weight_bytes: u64,
    /// Bytes that the step read from the disk itself, of a model that is larger than memory.
    pub disk_bytes: u64,
    /// How many tokens each expert of each layer has evaluated, `[n_layers][n_experts]`. A dense
    /// layer is one expert.
    pub expert_tokens: Vec<Vec<u64>>,
}

/// A step on its way through the layers.
pub(super) struct Step<'a, 'c> {
    /// The sequences' parts.
    pub chunks: &'a mut [Chunk<'c>],
    /// The residual stream, `[n_rows, dim]`: a row per token, chunk after chunk.
    pub x: Vec<f32>,
    /// The rotation of each row's position.
    pub rotations: Vec<Rotation>,
}
