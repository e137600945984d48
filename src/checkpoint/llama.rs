//! The architecture that GGUF calls `llama`, which Mixtral, Mistral and Llama share: its keys, and
//! its tensors with their shapes.

use super::error::CheckpointError;
use crate::gguf::{Metadata, Value};
use crate::model::Config;
use std::iter;
use std::path::{Path, PathBuf};

/// A model that a checkpoint describes.
pub struct Model {
    /// Its sizes.
    pub config: Config,
    /// Tokens it has embeddings for.
    pub n_vocab: usize,
    /// Whether the output is the embedding, and has no tensor.
    pub tied: bool,
}

/// A tensor of the architecture.
pub struct Slot {
    /// Its name without block number and `.weight`: `attn_q`.
    pub role: &'static str,
    /// Its layer; none for the three tensors outside.
    pub layer_idx: Option<usize>,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

impl Slot {
    /// Its name in a GGUF.
    pub fn name(&self) -> String {
        match self.layer_idx {
            Some(layer_idx) => format!("blk.{layer_idx}.{}.weight", self.role),
            None => format!("{}.weight", self.role),
        }
    }
}

impl Model {
    /// The keys of a GGUF that say what the model is, without those of the tokenizer. `source` is the
    /// file that the sizes are from, for messages.
    ///
    /// # Errors
    /// If the sizes contradict each other: what could not be run is not converted either.
    pub fn metadata(
        &self,
        name: Option<String>,
        source: &Path,
    ) -> Result<Metadata, CheckpointError> {
        let config = &self.config;
        let mut metadata = Metadata::new();
        let mut set = |key: &str, value: Value| metadata.set(key, value);
        set("general.architecture", Value::String("llama".into()));
        set("general.type", Value::String("model".into()));
        if let Some(name) = name {
            set("general.name", Value::String(name));
        }
        let mut set = |key: &str, value: Value| metadata.set(format!("llama.{key}"), value);
        // Sizes are below 2^30.
        let size = |size: usize| Value::U32(size as u32);
        set("block_count", size(config.n_layers));
        set("context_length", size(config.context_len));
        set("embedding_length", size(config.dim));
        set("feed_forward_length", size(config.hidden_dim));
        set("vocab_size", size(self.n_vocab));
        set("attention.head_count", size(config.n_heads));
        set("attention.head_count_kv", size(config.n_kv_heads));
        if config.n_heads * config.head_dim != config.dim {
            set("attention.key_length", size(config.head_dim));
            set("attention.value_length", size(config.head_dim));
        }
        set("attention.layer_norm_rms_epsilon", Value::F32(config.norm_epsilon));
        set("rope.dimension_count", size(config.rope.n_dims));
        set("rope.freq_base", Value::F32(config.rope.base));
        if config.rope.scale != 1.0 {
            set("rope.scaling.type", Value::String("linear".into()));
            set("rope.scaling.factor", Value::F32(config.rope.scale));
        }
        if config.n_experts > 0 {
            set("expert_count", size(config.n_experts));
            set("expert_used_count", size(config.top_k));
        }
        Config::from_metadata(source, &metadata)?;
        Ok(metadata)
    }

    /// Its tensors, in the order in which a token meets them. Experts are merged.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        let (dim, n_vocab) = (self.config.dim, self.n_vocab);
        let outside = |role, shape| Slot { role, layer_idx: None, shape };
        let layers = (0..self.config.n_layers).flat_map(|layer_idx| self.layer(layer_idx));
        iter::once(outside("token_embd", vec![n_vocab, dim]))
            .chain(layers)
            .chain(iter::once(outside("output_norm", vec![dim])))
            .chain((!self.tied).then(|| outside("output", vec![n_vocab, dim])))
    }

    fn layer(&self, layer_idx: usize) -> impl Iterator<Item = Slot> + use<> {
        let Config { dim, hidden_dim, n_experts, .. } = self.config;
        let q_dim = self.config.n_heads * self.config.head_dim;
        let kv_dim = self.config.n_kv_heads * self.config.head_dim;
        let mut slots = vec![
            ("attn_norm", vec![dim]),
            ("attn_q", vec![q_dim, dim]),
            ("attn_k", vec![kv_dim, dim]),
            ("attn_v", vec![kv_dim, dim]),
            ("attn_output", vec![dim, q_dim]),
            ("ffn_norm", vec![dim]),
        ];
        slots.extend(match n_experts {
            0 => vec![
                ("ffn_gate", vec![hidden_dim, dim]),
                ("ffn_up", vec![hidden_dim, dim]),
                ("ffn_down", vec![dim, hidden_dim]),
            ],
            _ => vec![
                ("ffn_gate_inp", vec![n_experts, dim]),
                ("ffn_gate_exps", vec![n_experts, hidden_dim, dim]),
                ("ffn_up_exps", vec![n_experts, hidden_dim, dim]),
                ("ffn_down_exps", vec![n_experts, dim, hidden_dim]),
            ],
        });
        slots.into_iter().map(move |(role, shape)| Slot { role, layer_idx: Some(layer_idx), shape })
    }
}

/// The name of a folder; of one in the cache of Hugging Face's hub,
/// `models--OWNER--NAME/snapshots/HASH`, the name of the model.
pub fn name(folder: &Path) -> Option<String> {
    let folder: PathBuf = folder.canonicalize().ok()?;
    let mut names = folder.iter().rev().map(|name| name.to_string_lossy());
    let name = names.next()?;
    if names.next()? == "snapshots" {
        let of_model = names.next()?;
        return Some(of_model.rsplit("--").next()?.to_owned());
    }
    Some(name.into_owned())
}
