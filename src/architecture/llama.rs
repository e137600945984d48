//! The architecture that GGUF calls `llama`: Mixtral, Mistral, Llama and their fine-tunes.

use super::tensors::Axis::{Dim, Experts, HiddenDim, KvDim, QDim, RotaryPairs, Vocab};
use super::tensors::Scope::{Expert, Layer, Mixture, Model};
use super::tensors::{Role, TensorSpec};
use super::{Architecture, keys};

/// Mixtral, Mistral, Llama and their fine-tunes: grouped-query attention with rotary embedding of
/// neighbouring values, and a gated feed-forward network, dense or as a mixture of experts.
pub static LLAMA: Architecture = Architecture {
    name: "llama",
    models: "the architecture of Mixtral, Mistral, Llama and their fine-tunes",
    hidden_dim_key: keys::FEED_FORWARD_LENGTH,
    tensors: &[
        TensorSpec::weight(Role::Embedding, Model, "token_embd", &[Vocab, Dim]),
        TensorSpec::weight(Role::AttentionNorm, Layer, "attn_norm", &[Dim]),
        TensorSpec::weight(Role::Query, Layer, "attn_q", &[QDim, Dim]),
        TensorSpec::weight(Role::Key, Layer, "attn_k", &[KvDim, Dim]),
        TensorSpec::weight(Role::Value, Layer, "attn_v", &[KvDim, Dim]),
        TensorSpec::weight(Role::AttentionOutput, Layer, "attn_output", &[Dim, QDim]),
        TensorSpec::weight(Role::FeedForwardNorm, Layer, "ffn_norm", &[Dim]),
        TensorSpec::weight(Role::Router, Mixture, "ffn_gate_inp", &[Experts, Dim]),
        TensorSpec::weight(Role::Gate, Expert, "ffn_gate", &[HiddenDim, Dim]),
        TensorSpec::weight(Role::Up, Expert, "ffn_up", &[HiddenDim, Dim]),
        TensorSpec::weight(Role::Down, Expert, "ffn_down", &[Dim, HiddenDim]),
        TensorSpec::weight(Role::OutputNorm, Model, "output_norm", &[Dim]),
        TensorSpec::weight(Role::Output, Model, "output", &[Vocab, Dim]).optional(),
        TensorSpec::weight(Role::RotaryDivisors, Model, "rope_freqs", &[RotaryPairs]).optional(),
    ],
};
