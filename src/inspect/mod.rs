//! What a GGUF holds, and whether it will run here.
//!
//! [`Report`] is made from the header alone; [`check()`] reads every weight.

mod check;
mod machine;
mod memory;
mod text;

pub use check::{Check, Fault, check};
pub use machine::Machine;
pub use memory::{KvBytes, Memory, Verdict};

use crate::gguf::{Gguf, GgufError, Tensor, Value};
use crate::model::weights::Weights;
use crate::model::{Config, ModelError};
use crate::tokenizer::Vocabulary;
use memory::share;
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use std::path::PathBuf;

/// What a GGUF holds. Sizes in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The file, or all files of a split model.
    pub files: Vec<PathBuf>,
    /// Their size.
    pub file_bytes: u64,
    /// `general.architecture`
    pub architecture: Option<String>,
    /// `general.name`
    pub name: Option<String>,
    /// Weights in all tensors.
    pub n_parameters: u64,
    /// Weights that take part in one token: all but the experts it is not routed to.
    pub n_active_parameters: u64,
    /// The sizes of the model, where its architecture is known.
    pub model: Option<Sizes>,
    /// How experts are stored.
    pub expert_layout: ExpertLayout,
    /// What the file says about text.
    pub tokenizer: Tokenizer,
    /// The formats of the weights, by the bytes they take.
    pub formats: Vec<FormatUse>,
    /// What running takes.
    pub memory: Memory,
    /// What this machine has.
    pub machine: Option<Machine>,
    /// Whether it can run here, and in words how.
    pub verdict: Verdict,
    /// All keys; long arrays by their type and length alone.
    pub metadata: Map<String, Json>,
    /// All tensors, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensors: Option<Vec<TensorEntry>>,
    /// What reading every weight found, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
}

/// The sizes of a model; see [`Config`].
#[derive(Clone, Copy, Debug, Serialize)]
#[expect(missing_docs, reason = "they are those of Config")]
pub struct Sizes {
    pub n_layers: usize,
    pub dim: usize,
    pub n_heads: usize,
    pub n_kv_heads: usize,
    pub head_dim: usize,
    pub hidden_dim: usize,
    pub n_experts: usize,
    pub n_experts_used: usize,
    pub context_len: usize,
}

/// How a file stores its experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpertLayout {
    /// There are none.
    Dense,
    /// Those of a layer in one tensor: `blk.0.ffn_gate_exps.weight`.
    Merged,
    /// Each in tensors of its own, as in files of December 2023: `blk.0.ffn_gate.3.weight`.
    Separate,
}

/// What a file says about text.
#[derive(Clone, Debug, Serialize)]
pub struct Tokenizer {
    /// `tokenizer.ggml.model`: `llama` (SentencePiece) or `gpt2` (byte-level BPE).
    pub kind: Option<String>,
    /// `tokenizer.ggml.pre`
    pub pre: Option<String>,
    /// Tokens in the vocabulary.
    pub n_vocab: usize,
    /// Whether the file has a chat template.
    pub has_chat_template: bool,
}

/// How much of a file is in one format.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FormatUse {
    pub format: &'static str,
    pub n_tensors: usize,
    pub n_weights: u64,
    pub n_bytes: u64,
}

/// A line of the table of tensors.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "they are those of Tensor")]
pub struct TensorEntry {
    pub name: String,
    pub format: &'static str,
    pub shape: Vec<usize>,
    pub n_bytes: usize,
}

impl Report {
    /// Reads the header's side of a model, on `machine`.
    ///
    /// # Errors
    /// If a key that is reported has a type that it cannot have. A model that gatefold cannot run
    /// is no error: the verdict says so.
    pub fn new(gguf: &Gguf, machine: Option<Machine>) -> Result<Report, GgufError> {
        let metadata = gguf.metadata();
        let text = |key| Ok(metadata.str(key)?.map(str::to_string));
        let config = Config::from_gguf(gguf);
        let faults = faults(gguf, &config);
        let config = config.ok();
        let memory = Memory::of(gguf, config.as_ref());
        let n_vocab = match metadata.strings("tokenizer.ggml.tokens")? {
            Some(tokens) => tokens.len(),
            None => gguf.tensor("token_embd.weight").map_or(0, |tensor| tensor.shape[0]),
        };
        let active = |tensor: &Tensor| share(tensor.n_weights() as u64, tensor, config.as_ref());
        Ok(Report {
            files: gguf.parts().iter().map(|part| part.path.clone()).collect(),
            file_bytes: gguf.parts().iter().map(|part| part.n_bytes as u64).sum(),
            architecture: text("general.architecture")?,
            name: text("general.name")?,
            n_parameters: gguf.tensors().map(|tensor| tensor.n_weights() as u64).sum(),
            n_active_parameters: gguf.tensors().map(active).sum(),
            model: config.as_ref().map(Sizes::of),
            expert_layout: ExpertLayout::of(gguf),
            tokenizer: Tokenizer {
                kind: text("tokenizer.ggml.model")?,
                pre: text("tokenizer.ggml.pre")?,
                n_vocab,
                has_chat_template: metadata.contains("tokenizer.chat_template"),
            },
            formats: FormatUse::of(gguf),
            verdict: Verdict::of(faults, memory, machine),
            memory,
            machine,
            metadata: metadata.iter().map(|(key, value)| (key.into(), summary(value))).collect(),
            tensors: None,
            check: None,
        })
    }

    /// The report with the table of tensors.
    pub fn with_tensors(self, gguf: &Gguf) -> Report {
        let entries = gguf.tensors().map(|tensor| TensorEntry {
            name: tensor.name.clone(),
            format: tensor.format.name,
            shape: tensor.shape.clone(),
            n_bytes: tensor.bytes.len(),
        });
        Report { tensors: Some(entries.collect()), ..self }
    }
}

/// Why the model cannot run; empty if it can.
fn faults(gguf: &Gguf, config: &Result<Config, ModelError>) -> Vec<String> {
    let model = match config {
        Ok(config) => Weights::from_gguf(gguf, config).err().map(|error| error.to_string()),
        Err(error) => Some(error.to_string()),
    };
    let tokenizer = Vocabulary::from_metadata(gguf.metadata()).err().map(|error| error.to_string());
    model.into_iter().chain(tokenizer).collect()
}

impl Sizes {
    fn of(config: &Config) -> Sizes {
        Sizes {
            n_layers: config.n_layers,
            dim: config.dim,
            n_heads: config.n_heads,
            n_kv_heads: config.n_kv_heads,
            head_dim: config.head_dim,
            hidden_dim: config.hidden_dim,
            n_experts: config.n_experts,
            n_experts_used: config.top_k,
            context_len: config.context_len,
        }
    }
}

impl ExpertLayout {
    fn of(gguf: &Gguf) -> ExpertLayout {
        let layouts = gguf.tensors().filter_map(|tensor| ExpertLayout::of_tensor(&tensor.name));
        layouts.last().unwrap_or(ExpertLayout::Dense)
    }

    /// Of the expert or experts in a tensor of this name; `None` if it holds something else.
    fn of_tensor(name: &str) -> Option<ExpertLayout> {
        let (_layer, part) = name.strip_prefix("blk.")?.split_once('.')?;
        let part = part.strip_suffix(".weight")?;
        let part =
            ["ffn_gate", "ffn_up", "ffn_down"].iter().find_map(|&kind| part.strip_prefix(kind));
        match part? {
            "_exps" => Some(ExpertLayout::Merged),
            expert => {
                let idx = expert.strip_prefix('.')?;
                idx.parse::<usize>().is_ok().then_some(ExpertLayout::Separate)
            }
        }
    }
}

impl FormatUse {
    fn of(gguf: &Gguf) -> Vec<FormatUse> {
        let mut uses: Vec<FormatUse> = Vec::new();
        for tensor in gguf.tensors() {
            let format = tensor.format.name;
            let idx = uses.iter().position(|use_| use_.format == format).unwrap_or_else(|| {
                uses.push(FormatUse { format, n_tensors: 0, n_weights: 0, n_bytes: 0 });
                uses.len() - 1
            });
            uses[idx].n_tensors += 1;
            uses[idx].n_weights += tensor.n_weights() as u64;
            uses[idx].n_bytes += tensor.bytes.len() as u64;
        }
        uses.sort_by_key(|use_| std::cmp::Reverse(use_.n_bytes));
        uses
    }
}

/// Arrays up to this length are reported whole.
const SHORT_ARRAY: usize = 16;

/// A value for a reader: long arrays by type and length.
fn summary(value: &Value) -> Json {
    match value {
        Value::Array(array) if array.len() > SHORT_ARRAY => {
            json!({ "array_of": array.kind().to_string(), "length": array.len() })
        }
        value => json!(value),
    }
}
