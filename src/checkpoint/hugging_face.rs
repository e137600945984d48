//! Hugging Face folders: `config.json` and safetensors, or PyTorch's files.

use super::error::{CheckpointError, Problem};
use super::folder::Folder;
use super::json::JsonObject;
use super::layout::Arrangement::{Halves, LowerHalves, Same, Separate, UpperHalves};
use super::layout::{Entry, Layout};
use super::rope::{Computed, Rope};
use super::stored::StoredTensors;
use super::{Checkpoint, foreign, mistral, safetensors, shards, torch, vocabulary};
use crate::architecture::{Config, LLAMA, ModelSpec, Role};

/// The file that says what the model is.
pub const CONFIG: &str = "config.json";

const WINDOW: &str = "sliding_window";

/// What all models have. In the transformers library rotary embeddings turn halves of a head, so
/// the rows of q and k were permuted when these files were made.
const COMMON: [Entry; 9] = [
    (Role::Embedding, "model.embed_tokens.weight", Same),
    (Role::AttentionNorm, "model.layers.N.input_layernorm.weight", Same),
    (Role::Query, "model.layers.N.self_attn.q_proj.weight", Halves),
    (Role::Key, "model.layers.N.self_attn.k_proj.weight", Halves),
    (Role::Value, "model.layers.N.self_attn.v_proj.weight", Same),
    (Role::AttentionOutput, "model.layers.N.self_attn.o_proj.weight", Same),
    (Role::FeedForwardNorm, "model.layers.N.post_attention_layernorm.weight", Same),
    (Role::OutputNorm, "model.norm.weight", Same),
    (Role::Output, "lm_head.weight", Same),
];

/// What some models have besides. Normalized heads of queries and keys are rotated in halves too.
const OPTIONAL: [Entry; 9] = [
    (Role::QueryBias, "model.layers.N.self_attn.q_proj.bias", Halves),
    (Role::KeyBias, "model.layers.N.self_attn.k_proj.bias", Halves),
    (Role::ValueBias, "model.layers.N.self_attn.v_proj.bias", Same),
    (Role::AttentionOutputBias, "model.layers.N.self_attn.o_proj.bias", Same),
    (Role::QueryNorm, "model.layers.N.self_attn.q_norm.weight", Halves),
    (Role::KeyNorm, "model.layers.N.self_attn.k_norm.weight", Halves),
    (Role::GateBias, "model.layers.N.mlp.gate_proj.bias", Same),
    (Role::UpBias, "model.layers.N.mlp.up_proj.bias", Same),
    (Role::DownBias, "model.layers.N.mlp.down_proj.bias", Same),
];

const DENSE: [Entry; 3] = [
    (Role::Gate, "model.layers.N.mlp.gate_proj.weight", Same),
    (Role::Up, "model.layers.N.mlp.up_proj.weight", Same),
    (Role::Down, "model.layers.N.mlp.down_proj.weight", Same),
];

/// As the hub's files are.
const EXPERTS: [Entry; 4] = [
    (Role::Router, "model.layers.N.block_sparse_moe.gate.weight", Same),
    (Role::Gate, "model.layers.N.block_sparse_moe.experts.E.w1.weight", Separate),
    (Role::Up, "model.layers.N.block_sparse_moe.experts.E.w3.weight", Separate),
    (Role::Down, "model.layers.N.block_sparse_moe.experts.E.w2.weight", Separate),
];

/// As transformers 5 has them in memory, and some tools save them: the gate above up.
const MERGED_EXPERTS: [Entry; 4] = [
    (Role::Router, "model.layers.N.mlp.gate.weight", Same),
    (Role::Gate, "model.layers.N.mlp.experts.gate_up_proj", UpperHalves),
    (Role::Up, "model.layers.N.mlp.experts.gate_up_proj", LowerHalves),
    (Role::Down, "model.layers.N.mlp.experts.down_proj", Same),
];

/// Files with weights in F8 also say how to scale what such a model computes.
const IGNORED: [&str; 4] = [".rotary_emb.inv_freq", ".input_scale", ".k_scale", ".v_scale"];

/// Opens a folder.
///
/// # Errors
/// Whatever is wrong with its files.
pub fn open(folder: &Folder) -> Result<Checkpoint, CheckpointError> {
    let config = JsonObject::read(&folder.file(CONFIG))?;
    let (mut model, computed) = model(&config)?;
    let mut metadata = model.metadata(folder.model_name(), config.path())?;
    let stored = weights(folder)?;
    let layout = Layout { computed, ..layout(&stored, &model) };
    model.optional.extend(layout.optional(&stored));
    let tensors = layout.arrange(folder.path(), &model, &stored);
    let tensors = tensors.map_err(|error| foreign::explained(folder, &stored, error))?;
    let mut notes = vocabulary::read(folder, model.n_vocab, &mut metadata)?;
    notes.extend(note_of_window(&config, &model.config));
    let (path, files) = (folder.path().to_path_buf(), stored.files);
    Ok(Checkpoint { path, kind: "a Hugging Face folder", files, metadata, tensors, notes })
}

/// What is to be known of a sliding window that is not as one would think.
fn note_of_window(config: &JsonObject, model: &Config) -> Option<String> {
    let said = || config.size(WINDOW).ok().flatten();
    let window = model.window.or_else(said).filter(|window| *window < model.context_len)?;
    let reach = format!("attention reaches back over {window} tokens");
    match (model.window, said()) {
        // Mixtral's own configuration said so for some weeks, and copies still do.
        (Some(_), Some(_)) if model.n_experts > 0 => Some(format!(
            "{reach}, as {WINDOW} in {CONFIG} says; Mixtral was trained without a window: if this is \
             a copy of it, set the key to null"
        )),
        (Some(_), None) => {
            Some(format!("{reach}, since {CONFIG} has no {WINDOW}; null there is no window"))
        }
        (None, Some(_)) => Some(format!(
            "{WINDOW} in {CONFIG} is {window} and counts for nothing: the transformers library has \
             no window in models of the kind llama"
        )),
        _ => None,
    }
}

/// Whether a folder has weights in these files.
pub(super) fn has_weights(folder: &Folder) -> bool {
    folder.names().any(|name| is_safetensors(name) || is_torch(name))
}

/// Mistral's files may lie beside these, and adapters, which are no model.
fn is_safetensors(name: &str) -> bool {
    let is_other = name.starts_with(mistral::STEM) || name.starts_with("adapter_");
    name.ends_with(".safetensors") && !is_other
}

/// Other files that end in `.bin` are states of a training, or of other programs.
fn is_torch(name: &str) -> bool {
    name.starts_with("pytorch_model") && name.ends_with(".bin")
}

/// Where there are both kinds of files, they hold the same.
fn weights(folder: &Folder) -> Result<StoredTensors, CheckpointError> {
    let wanted = "model*.safetensors or pytorch_model*.bin";
    let (single, single_torch) = ("model.safetensors", "pytorch_model.bin");
    let has = |is_one: fn(&str) -> bool| folder.names().any(is_one);
    // An index may have been downloaded without its files.
    let safetensors = match has(is_safetensors) || !has(is_torch) {
        true => shards::read_folder(folder, single, is_safetensors, safetensors::read_file)?,
        false => None,
    };
    match safetensors {
        Some(stored) => Ok(stored),
        None => shards::read_folder(folder, single_torch, is_torch, torch::read_file)?
            .ok_or_else(|| folder.problem(Problem::NoWeights { wanted })),
    }
}

fn layout(stored: &StoredTensors, model: &ModelSpec) -> Layout {
    let has = |part: &str| stored.tensors.keys().any(|name| name.contains(part));
    let experts = match model.config.n_experts {
        0 => &DENSE[..],
        _ if has(".mlp.experts.") => &MERGED_EXPERTS,
        _ => &EXPERTS,
    };
    let mut tensors = [&COMMON, &OPTIONAL[..], experts].concat();
    // Saved without the head's wrapper around the model.
    if !stored.tensors.keys().any(|name| name.starts_with("model.")) {
        for (_, name, _) in &mut tensors {
            *name = name.strip_prefix("model.").unwrap_or(name);
        }
    }
    let mut ignored = IGNORED.to_vec();
    // A tied head may be stored nevertheless.
    ignored.extend(model.is_tied().then_some("lm_head.weight"));
    Layout { tensors, computed: vec![], ignored }
}

/// What a kind of model takes for granted, as the transformers library does.
struct Defaults {
    rope_base: f32,
    n_experts: usize,
    window: Window,
}

/// Whether a kind of model has a sliding window.
enum Window {
    /// Whatever its file says.
    Never,
    /// Where the file says so.
    Said,
    /// Of this size, unless the file says otherwise.
    Unless(usize),
}

/// What the model is, and tensors whose values its configuration has.
fn model(config: &JsonObject) -> Result<(ModelSpec, Vec<Computed>), CheckpointError> {
    let kind = config.required("model_type", "the kind of model", config.str("model_type"))?;
    let defaults = match kind {
        "mixtral" => Defaults { rope_base: 1e6, n_experts: 8, window: Window::Said },
        "mistral" => Defaults { rope_base: 1e4, n_experts: 0, window: Window::Unless(4096) },
        "llama" => Defaults { rope_base: 1e4, n_experts: 0, window: Window::Never },
        _ => return Err(config.refuse("model_type", "mixtral, mistral or llama")),
    };
    if config.str("hidden_act")?.is_some_and(|activation| activation != "silu") {
        return Err(config.refuse("hidden_act", "silu"));
    }
    let size = |key, what| config.required(key, what, config.size(key));
    let dim = size("hidden_size", "how wide the model is")?;
    let n_heads = size("num_attention_heads", "how many heads attention has")?;
    let head_dim = match config.size("head_dim")? {
        Some(head_dim) => head_dim,
        None if dim % n_heads == 0 => dim / n_heads,
        None => {
            let expected = format!("a divisor of the hidden_size {dim}");
            return Err(config.refuse("num_attention_heads", expected));
        }
    };
    if head_dim % 2 != 0 {
        return Err(match config.get("head_dim") {
            Some(_) => config.refuse("head_dim", "an even number: heads are rotated in pairs"),
            None => {
                let expected = format!("a number that makes heads of even width, not {head_dim}");
                config.refuse("num_attention_heads", expected)
            }
        });
    }
    let n_experts = match defaults.n_experts {
        0 => 0,
        n_experts => config.size("num_local_experts")?.unwrap_or(n_experts),
    };
    let top_k = match n_experts {
        0 => 0,
        _ => config.size("num_experts_per_tok")?.unwrap_or(2),
    };
    let rope = Rope::read(config, head_dim, defaults.rope_base)?;
    let epsilon = config.positive("rms_norm_eps");
    let config_of_model = Config {
        architecture: &LLAMA,
        dim,
        n_layers: size("num_hidden_layers", "how many layers there are")?,
        n_heads,
        n_kv_heads: config.size("num_key_value_heads")?.unwrap_or(n_heads),
        head_dim,
        hidden_dim: size("intermediate_size", "how wide an expert is")?,
        n_experts,
        top_k,
        context_len: rope.context_len,
        window: window(config, defaults.window)?,
        norm_epsilon: config.required("rms_norm_eps", "the epsilon of norms", epsilon)?,
        rope: rope.config,
    };
    let n_vocab = size("vocab_size", "how many tokens there are")?;
    let is_tied = config.bool("tie_word_embeddings")?.unwrap_or(false);
    let mut optional = rope.divisors.iter().map(|(role, _)| *role).collect::<Vec<_>>();
    optional.extend((!is_tied).then_some(Role::Output));
    let model = ModelSpec { config: config_of_model, n_vocab, optional };
    Ok((model, rope.divisors))
}

/// The sliding window of attention; null and 0 are none.
fn window(config: &JsonObject, default: Window) -> Result<Option<usize>, CheckpointError> {
    let is_none = config.get(WINDOW).and_then(|window| window.as_u64()) == Some(0);
    match default {
        Window::Never => Ok(None),
        _ if is_none => Ok(None),
        Window::Unless(window) if config.iter().all(|(key, _)| key != WINDOW) => Ok(Some(window)),
        Window::Unless(_) | Window::Said => config.size(WINDOW),
    }
}
