//! What a tensor is for, by its name in a GGUF of architecture `llama`.

/// What a tensor is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The token embedding.
    Embedding,
    /// The matrix that makes logits.
    Output,
    /// Attention's queries.
    Query,
    /// Attention's keys.
    Key,
    /// Attention's values.
    Value,
    /// What leads out of attention.
    AttentionOutput,
    /// The gate of a feed-forward network or of experts.
    Gate,
    /// What leads into one, beside the gate.
    Up,
    /// What leads out of one.
    Down,
    /// What chooses experts.
    Router,
    /// A norm, or another vector.
    Vector,
    /// None that is known here.
    Unknown,
}

impl Role {
    /// The role of a tensor with this name, and the layer it is in.
    pub fn of(name: &str) -> (Role, Option<usize>) {
        let mut words = name.split('.');
        let mut part = words.next().unwrap_or_default();
        let mut layer_idx = None;
        if part == "blk" {
            layer_idx = words.next().and_then(|word| word.parse().ok());
            part = words.next().unwrap_or_default();
        }
        let role = match part {
            "token_embd" => Role::Embedding,
            "output" => Role::Output,
            "attn_q" => Role::Query,
            "attn_k" => Role::Key,
            "attn_v" => Role::Value,
            "attn_output" => Role::AttentionOutput,
            "ffn_gate" | "ffn_gate_exps" => Role::Gate,
            "ffn_up" | "ffn_up_exps" => Role::Up,
            "ffn_down" | "ffn_down_exps" => Role::Down,
            "ffn_gate_inp" => Role::Router,
            "attn_norm" | "ffn_norm" | "output_norm" | "rope_freqs" => Role::Vector,
            _ => Role::Unknown,
        };
        (role, layer_idx)
    }
}
