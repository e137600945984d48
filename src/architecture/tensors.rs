//! The tensors of an architecture: roles, names, and shapes in terms of a model's sizes.

use super::Config;
use serde::Serialize;

/// The first word of the names of tensors in layers: `blk.0.attn_q.weight`.
pub(super) const LAYER: &str = "blk";

/// What distinguishes the name of a tensor that holds the experts of a layer.
const MERGED: &str = "_exps";

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The token embedding.
    Embedding,
    /// The output matrix (LM head), which makes logits.
    Output,
    /// The query projection of attention (q_proj).
    Query,
    /// The key projection of attention (k_proj).
    Key,
    /// The value projection of attention (v_proj).
    Value,
    /// The output projection of attention (o_proj).
    AttentionOutput,
    /// The gate projection of a feed-forward network or of experts (gate_proj, w1).
    Gate,
    /// The up projection of a feed-forward network or of experts (up_proj, w3).
    Up,
    /// The down projection of a feed-forward network or of experts (down_proj, w2).
    Down,
    /// The router, which chooses experts.
    Router,
    /// The RMS norm before attention.
    AttentionNorm,
    /// The RMS norm before the feed-forward network or the experts.
    FeedForwardNorm,
    /// The RMS norm before the output matrix.
    OutputNorm,
    /// What is added to queries.
    QueryBias,
    /// What is added to keys.
    KeyBias,
    /// What is added to values.
    ValueBias,
    /// What is added to attention's output.
    AttentionOutputBias,
    /// What is added to the gate of a dense feed-forward network.
    GateBias,
    /// What is added to the up projection of a dense feed-forward network.
    UpBias,
    /// What is added to the output of a dense feed-forward network.
    DownBias,
    /// The RMS norm of a head's query.
    QueryNorm,
    /// The RMS norm of a head's key.
    KeyNorm,
    /// The divisors of the rotary frequencies, of Llama 3.1 and later.
    RotaryDivisors,
    /// LongRoPE's divisors in contexts up to the original length.
    ShortRotaryDivisors,
    /// LongRoPE's divisors in longer contexts.
    LongRotaryDivisors,
}

/// Which of a model's sizes an axis of a tensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Tokens of the vocabulary.
    Vocab,
    /// Width of the residual stream.
    Dim,
    /// Width of all query heads together.
    QDim,
    /// Width of a head.
    HeadDim,
    /// Width of all key heads together, or of all value heads.
    KvDim,
    /// Width inside an expert or a dense feed-forward network.
    HiddenDim,
    /// Experts per layer.
    Experts,
    /// Pairs of values of a head that are rotated.
    RotaryPairs,
}

impl Axis {
    /// The size in a model of these sizes with `n_vocab` tokens.
    pub fn len(self, config: &Config, n_vocab: usize) -> usize {
        match self {
            Axis::Vocab => n_vocab,
            Axis::Dim => config.dim,
            Axis::QDim => config.n_heads * config.head_dim,
            Axis::HeadDim => config.head_dim,
            Axis::KvDim => config.n_kv_heads * config.head_dim,
            Axis::HiddenDim => config.hidden_dim,
            Axis::Experts => config.n_experts,
            Axis::RotaryPairs => config.rope.n_dims / 2,
        }
    }
}

/// What a tensor is to its operation, which is how its name ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A matrix to multiply with, or a norm's factors: `.weight`.
    Weight,
    /// A vector to add: `.bias`.
    Bias,
}

impl Kind {
    /// How names end, without the dot.
    pub fn ending(self) -> &'static str {
        match self {
            Kind::Weight => "weight",
            Kind::Bias => "bias",
        }
    }
}

/// How often a model has a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Once in the model, outside of the layers.
    Model,
    /// Once in every layer.
    Layer,
    /// Once in every layer of a dense model; not in a mixture of experts.
    Dense,
    /// Once in every layer of a mixture of experts; not in a dense model.
    Mixture,
    /// Once in every layer of a dense model; in a mixture, once for every expert of a layer.
    Expert,
}

/// Whether a model must have a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Every model has it.
    Required,
    /// Some models have it.
    Optional,
}

/// How a file stores its experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpertLayout {
    /// There are none: a dense model.
    Dense,
    /// Those of a layer in one tensor: `blk.0.ffn_gate_exps.weight`.
    Merged,
    /// Each in tensors of its own, as in files of December 2023: `blk.0.ffn_gate.3.weight`.
    Separate,
}

/// A tensor of an architecture: a line of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// What it is for; no other tensor of the architecture has the same role.
    pub role: Role,
    /// How often a model has it.
    pub scope: Scope,
    /// Its part of the name: `attn_q`.
    pub part: &'static str,
    /// How its name ends.
    pub kind: Kind,
    /// Its shape, outermost first; of a tensor per expert, that of one expert.
    pub shape: &'static [Axis],
    /// Whether a model must have it.
    pub presence: Presence,
}

impl TensorSpec {
    /// A tensor `PART.weight` that every model has.
    pub const fn weight(
        role: Role,
        scope: Scope,
        part: &'static str,
        shape: &'static [Axis],
    ) -> TensorSpec {
        let (kind, presence) = (Kind::Weight, Presence::Required);
        TensorSpec { role, scope, part, kind, shape, presence }
    }

    /// A tensor `PART.bias` that every model has.
    pub const fn bias(
        role: Role,
        scope: Scope,
        part: &'static str,
        shape: &'static [Axis],
    ) -> TensorSpec {
        TensorSpec { kind: Kind::Bias, ..TensorSpec::weight(role, scope, part, shape) }
    }

    /// The same tensor, which not every model has.
    pub const fn optional(self) -> TensorSpec {
        TensorSpec { presence: Presence::Optional, ..self }
    }

    /// Its name in a GGUF; of a tensor per expert, that in a dense model. `layer_idx` does not count
    /// for a tensor outside of the layers.
    pub fn name(&self, layer_idx: usize) -> String {
        self.name_with(layer_idx, "")
    }

    /// The name of the tensor with all experts of a layer: `blk.0.ffn_gate_exps.weight`.
    pub fn merged_name(&self, layer_idx: usize) -> String {
        self.name_with(layer_idx, MERGED)
    }

    /// The name of the tensor with a single expert: `blk.0.ffn_gate.3.weight`.
    pub fn expert_name(&self, layer_idx: usize, expert_idx: usize) -> String {
        self.name_with(layer_idx, &format!(".{expert_idx}"))
    }

    fn name_with(&self, layer_idx: usize, which: &str) -> String {
        let (part, ending) = (self.part, self.kind.ending());
        match self.scope {
            Scope::Model => format!("{part}{which}.{ending}"),
            _ => format!("{LAYER}.{layer_idx}.{part}{which}.{ending}"),
        }
    }

    /// Its shape in a model of these sizes, outermost first; of a tensor per expert, that of one.
    pub fn shape(&self, config: &Config, n_vocab: usize) -> Vec<usize> {
        self.shape.iter().map(|axis| axis.len(config, n_vocab)).collect()
    }

    /// Whether it is a vector, not a matrix.
    pub fn is_vector(&self) -> bool {
        self.shape.len() == 1
    }

    /// Whether models of these sizes have such a tensor, if it is not optional.
    pub fn is_in(&self, config: &Config) -> bool {
        match self.scope {
            Scope::Dense => config.n_experts == 0,
            Scope::Mixture => config.n_experts > 0,
            Scope::Model | Scope::Layer | Scope::Expert => true,
        }
    }

    /// Whether `part` is its part of a name, in any layout of experts.
    pub(super) fn has_part(&self, part: &str) -> bool {
        let is_merged = self.scope == Scope::Expert && part.strip_suffix(MERGED) == Some(self.part);
        is_merged || part == self.part
    }
}

/// A tensor that holds a single expert, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpertTensor {
    /// Its line of the table.
    pub spec: &'static TensorSpec,
    /// Its layer.
    pub layer_idx: usize,
    /// Its expert.
    pub expert_idx: usize,
}
