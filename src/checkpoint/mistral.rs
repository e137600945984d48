//! Mistral's own folders: `params.json`, `tokenizer.model` and `consolidated.*`.

use super::error::{CheckpointError, Problem};
use super::folder::Folder;
use super::json::JsonObject;
use super::layout::Arrangement::{Same, Separate, Stacked, StackedTransposed};
use super::layout::{Entry, Layout};
use super::stored::StoredTensors;
use super::{Checkpoint, safetensors, shards, torch, vocabulary};
use crate::architecture::{Config, LLAMA, ModelSpec, Role, RopeConfig};
use std::ffi::OsStr;
use std::path::Path;

/// The file that says what the model is.
pub const PARAMS: &str = "params.json";

/// How the names of files with weights begin.
pub(super) const STEM: &str = "consolidated";

const EMBEDDING: &str = "tok_embeddings.weight";

/// What all models have. Rotary embeddings turn neighbours, as in a GGUF.
const COMMON: [Entry; 9] = [
    (Role::Embedding, EMBEDDING, Same),
    (Role::AttentionNorm, "layers.N.attention_norm.weight", Same),
    (Role::Query, "layers.N.attention.wq.weight", Same),
    (Role::Key, "layers.N.attention.wk.weight", Same),
    (Role::Value, "layers.N.attention.wv.weight", Same),
    (Role::AttentionOutput, "layers.N.attention.wo.weight", Same),
    (Role::FeedForwardNorm, "layers.N.ffn_norm.weight", Same),
    (Role::OutputNorm, "norm.weight", Same),
    (Role::Output, "output.weight", Same),
];

const DENSE: [Entry; 3] = [
    (Role::Gate, "layers.N.feed_forward.w1.weight", Same),
    (Role::Up, "layers.N.feed_forward.w3.weight", Same),
    (Role::Down, "layers.N.feed_forward.w2.weight", Same),
];

/// As in the first release.
const EXPERTS: [Entry; 4] = [
    (Role::Router, "layers.N.feed_forward.gate.weight", Same),
    (Role::Gate, "layers.N.feed_forward.experts.E.w1.weight", Separate),
    (Role::Up, "layers.N.feed_forward.experts.E.w3.weight", Separate),
    (Role::Down, "layers.N.feed_forward.experts.E.w2.weight", Separate),
];

/// As in the first upload to Hugging Face's hub: for kernels that multiply the rows of all experts
/// in one go, w2 lies like w1 and w3.
const STACKED_EXPERTS: [Entry; 4] = [
    (Role::Router, "layers.N.block_sparse_moe.gate.weight", Same),
    (Role::Gate, "layers.N.block_sparse_moe.w1", Stacked),
    (Role::Up, "layers.N.block_sparse_moe.w3", Stacked),
    (Role::Down, "layers.N.block_sparse_moe.w2", StackedTransposed),
];

/// The context of Mistral 7B and Mixtral 8x7B. The files of the first releases do not say it.
const CONTEXT_LEN: usize = 32_768;

/// Opens a folder.
///
/// # Errors
/// Whatever is wrong with its files.
pub fn open(folder: &Folder) -> Result<Checkpoint, CheckpointError> {
    let params = JsonObject::read(&folder.file(PARAMS))?;
    let stored = weights(folder)?;
    let model = model(&params, &stored)?;
    let mut metadata = model.metadata(folder.model_name(), params.path())?;
    let tensors = layout(&stored, &model).arrange(folder.path(), &model, &stored)?;
    let notes = vocabulary::read(folder, model.n_vocab, &mut metadata)?;
    let (path, files) = (folder.path().to_path_buf(), stored.files);
    Ok(Checkpoint {
        path,
        kind: "a folder of Mistral's own layout",
        files,
        metadata,
        tensors,
        notes,
    })
}

/// Whether a file is one of such a folder, by its name.
pub(super) fn has_file(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str);
    name.is_some_and(|name| name == PARAMS || name.starts_with(STEM))
}

fn weights(folder: &Folder) -> Result<StoredTensors, CheckpointError> {
    let named = |name: &str, end| name.starts_with(STEM) && name.ends_with(end);
    let is_safetensors = |name: &str| named(name, ".safetensors");
    let is_torch = |name: &str| named(name, ".pth") || named(name, ".pt");
    let wanted = "consolidated.safetensors, consolidated.*.pth or consolidated.*.pt";
    let (single, single_torch) = ("consolidated.safetensors", "consolidated.pth");
    match shards::read_folder(folder, single, is_safetensors, safetensors::read_file)? {
        Some(stored) => Ok(stored),
        None => shards::read_folder(folder, single_torch, is_torch, torch::read_file)?
            .ok_or_else(|| folder.problem(Problem::NoWeights { wanted })),
    }
}

fn layout(stored: &StoredTensors, model: &ModelSpec) -> Layout {
    let stacked = || stored.tensors.keys().any(|name| name.contains(".block_sparse_moe."));
    let experts = match model.config.n_experts {
        0 => &DENSE[..],
        _ if stacked() => &STACKED_EXPERTS,
        _ => &EXPERTS,
    };
    Layout { tensors: [&COMMON, experts].concat(), computed: vec![], ignored: vec!["rope.freqs"] }
}

fn model(params: &JsonObject, stored: &StoredTensors) -> Result<ModelSpec, CheckpointError> {
    for key in ["yarn", "llama_4_scaling", "use_scaled_rope"] {
        if params.get(key).is_some_and(|value| *value != false) {
            return Err(params.refuse(key, "no such key: use the checkpoint for transformers"));
        }
    }
    let size = |key, what| params.required(key, what, params.size(key));
    let dim = size("dim", "how wide the model is")?;
    let n_heads = size("n_heads", "how many heads attention has")?;
    let head_dim = size("head_dim", "how wide a head is")?;
    // Files of the hub's first upload have the experts' sizes beside the others.
    let nested = params.object("moe")?;
    let moe = nested.as_ref().unwrap_or(params);
    let n_experts = moe.size("num_experts")?.unwrap_or(0);
    let top_k = match n_experts {
        0 => 0,
        _ => {
            const TOP_K: &str = "num_experts_per_tok";
            moe.required(TOP_K, "how many experts a token is routed to", moe.size(TOP_K))?
        }
    };
    // The first dense model was trained with the base of Llama, and its file does not say so.
    let rope_base = if n_experts > 0 { 1e6 } else { 1e4 };
    let epsilon = params.positive("norm_eps");
    let config = Config {
        architecture: &LLAMA,
        dim,
        n_layers: size("n_layers", "how many layers there are")?,
        n_heads,
        n_kv_heads: params.size("n_kv_heads")?.unwrap_or(n_heads),
        head_dim,
        hidden_dim: size("hidden_dim", "how wide an expert is")?,
        n_experts,
        top_k,
        context_len: params.size("max_seq_len")?.unwrap_or(CONTEXT_LEN),
        window: params.size("sliding_window")?,
        norm_epsilon: params.required("norm_eps", "the epsilon of norms", epsilon)?,
        rope: RopeConfig::plain(head_dim, params.positive("rope_theta")?.unwrap_or(rope_base)),
    };
    let n_vocab = n_vocab(params, stored)?;
    let is_tied = params.bool("tied_embeddings")?.unwrap_or(false);
    let optional = if is_tied { vec![] } else { vec![Role::Output] };
    Ok(ModelSpec { config, n_vocab, optional })
}

/// Tokens: as the file says, or where it does not (-1, or no such key), as many as have embeddings.
fn n_vocab(params: &JsonObject, stored: &StoredTensors) -> Result<usize, CheckpointError> {
    const KEY: &str = "vocab_size";
    let said = params.get(KEY).is_some_and(|value| value.as_i64() != Some(-1));
    let embedding = stored.tensors.get(EMBEDDING);
    let n_embeddings = embedding.and_then(|tensor| tensor.shape.first().copied());
    match n_embeddings.filter(|_| !said) {
        Some(n_embeddings) => Ok(n_embeddings),
        None => params.required(KEY, "how many tokens there are", params.size(KEY)),
    }
}
