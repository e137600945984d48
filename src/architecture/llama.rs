//! The architecture that GGUF calls `llama`: Mixtral, Mistral, Llama and their fine-tunes.

use super::tensors::Axis::{Dim, Experts, HeadDim, HiddenDim, KvDim, QDim, RotaryPairs, Vocab};
use super::tensors::Scope::{Dense, Expert, Layer, Mixture, Model};
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
        TensorSpec::bias(Role::QueryBias, Layer, "attn_q", &[QDim]).optional(),
        TensorSpec::weight(Role::QueryNorm, Layer, "attn_q_norm", &[HeadDim]).optional(),
        TensorSpec::weight(Role::Key, Layer, "attn_k", &[KvDim, Dim]),
        TensorSpec::bias(Role::KeyBias, Layer, "attn_k", &[KvDim]).optional(),
        TensorSpec::weight(Role::KeyNorm, Layer, "attn_k_norm", &[HeadDim]).optional(),
        TensorSpec::weight(Role::Value, Layer, "attn_v", &[KvDim, Dim]),
        TensorSpec::bias(Role::ValueBias, Layer, "attn_v", &[KvDim]).optional(),
        TensorSpec::weight(Role::AttentionOutput, Layer, "attn_output", &[Dim, QDim]),
        TensorSpec::bias(Role::AttentionOutputBias, Layer, "attn_output", &[Dim]).optional(),
        TensorSpec::weight(Role::FeedForwardNorm, Layer, "ffn_norm", &[Dim]),
        TensorSpec::weight(Role::Router, Mixture, "ffn_gate_inp", &[Experts, Dim]),
        TensorSpec::weight(Role::Gate, Expert, "ffn_gate", &[HiddenDim, Dim]),
        TensorSpec::bias(Role::GateBias, Dense, "ffn_gate", &[HiddenDim]).optional(),
        TensorSpec::weight(Role::Up, Expert, "ffn_up", &[HiddenDim, Dim]),
        TensorSpec::bias(Role::UpBias, Dense, "ffn_up", &[HiddenDim]).optional(),
        TensorSpec::weight(Role::Down, Expert, "ffn_down", &[Dim, HiddenDim]),
        TensorSpec::bias(Role::DownBias, Dense, "ffn_down", &[Dim]).optional(),
        TensorSpec::weight(Role::OutputNorm, Model, "output_norm", &[Dim]),
        TensorSpec::weight(Role::Output, Model, "output", &[Vocab, Dim]).optional(),
        TensorSpec::weight(Role::RotaryDivisors, Model, "rope_freqs", &[RotaryPairs]).optional(),
        TensorSpec::weight(Role::LongRotaryDivisors, Model, "rope_factors_long", &[RotaryPairs])
            .optional(),
        TensorSpec::weight(Role::ShortRotaryDivisors, Model, "rope_factors_short", &[RotaryPairs])
            .optional(),
    ],
};
