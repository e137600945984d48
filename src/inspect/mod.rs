//! What a GGUF holds, and whether it will run here.
//!
//! [`Report`] is made from the header and the norms; [`check()`] reads every weight.

mod check;
mod forecast;
mod larger;
mod memory;
mod text;

pub use check::{Check, Fault, check};
pub use forecast::{Forecast, Measured, Seconds};
pub use larger::Larger;
pub use memory::{KvBytes, Memory, Verdict};

use crate::architecture::{Config, ExpertLayout};
use crate::gguf::{ARCHITECTURE_KEY, Gguf, GgufError, Value};
use crate::machine::Machine;
use crate::model::Weights;
use crate::tokenizer::{ChatTemplate, Origin, Tokenizer, keys};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use std::fmt::Display;
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
    /// Weights that take part in one token: all but the experts it is not routed to. `None` where
    /// the file is no model that can be loaded.
    pub n_active_parameters: Option<u64>,
    /// The sizes of the model, where its architecture is known.
    pub model: Option<Sizes>,
    /// How experts are stored; `None` where the file is no model that can be loaded.
    pub expert_layout: Option<ExpertLayout>,
    /// What the file says about text.
    pub tokenizer: TokenizerKeys,
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
    /// How fast it will run, if that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
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
    pub usual_context_len: usize,
    pub window: Option<usize>,
}

/// What a file says about text.
#[derive(Clone, Debug, Serialize)]
pub struct TokenizerKeys {
    /// `tokenizer.ggml.model`: `llama` (SentencePiece) or `gpt2` (byte-level BPE).
    pub kind: Option<String>,
    /// `tokenizer.ggml.pre`
    pub pre: Option<String>,
    /// Tokens in the vocabulary; 0 where the file has none.
    pub n_vocab: usize,
    /// Whether the file has a chat template.
    pub has_chat_template: bool,
    /// Which chat template is used; `None` where the file's, or its vocabulary, is damaged.
    pub chat_template: Option<TemplateUse>,
}

/// Which chat template is used.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TemplateUse {
    /// Where it is from.
    pub origin: Origin,
    /// The name of its format, where it is not the file's.
    pub name: Option<&'static str>,
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
        let Loadable { config, weights, template, faults, notes } = Loadable::of(gguf);
        let (config, weights) = (config.as_ref(), weights.as_ref());
        let n_parameters = gguf.tensors().map(|tensor| tensor.n_weights() as u64).sum();
        let n_idle = weights.zip(config).map(|(weights, config)| weights.n_idle(config.top_k));
        let memory = Memory::of(gguf, config, weights, machine);
        let verdict = match faults.is_empty() {
            true => Verdict::runs(memory, machine, notes),
            false => Verdict { runs: false, notes: faults },
        };
        Ok(Report {
            files: gguf.parts().iter().map(|part| part.path.clone()).collect(),
            file_bytes: gguf.parts().iter().map(|part| part.n_bytes as u64).sum(),
            architecture: text(ARCHITECTURE_KEY)?,
            name: text("general.name")?,
            n_parameters,
            n_active_parameters: n_idle.map(|n_idle| n_parameters - n_idle),
            model: config.map(Sizes::of),
            expert_layout: weights.map(|weights| weights.expert_layout),
            tokenizer: TokenizerKeys {
                kind: text("tokenizer.ggml.model")?,
                pre: text("tokenizer.ggml.pre")?,
                n_vocab: metadata.strings(keys::TOKENS)?.map_or(0, <[_]>::len),
                has_chat_template: metadata.contains("tokenizer.chat_template"),
                chat_template: template,
            },
            formats: FormatUse::of(gguf),
            verdict,
            memory,
            machine,
            metadata: metadata.iter().map(|(key, value)| (key.into(), summary(value))).collect(),
            tensors: None,
            check: None,
            forecast: None,
        })
    }

    /// The report with the table of tensors.
    pub fn with_tensors(self, gguf: &Gguf) -> Report {
        let entries = gguf.tensors().map(|tensor| TensorEntry {
            name: tensor.name.clone(),
            format: tensor.type_name(),
            shape: tensor.shape.clone(),
            n_bytes: tensor.bytes.len(),
        });
        Report { tensors: Some(entries.collect()), ..self }
    }
}

/// What running would load, as far as it loads.
struct Loadable {
    config: Option<Config>,
    weights: Option<Weights>,
    template: Option<TemplateUse>,
    /// Why the model cannot run; empty if it can.
    faults: Vec<String>,
    /// What is not as it should be in a model that runs.
    notes: Vec<String>,
}

impl Loadable {
    fn of(gguf: &Gguf) -> Loadable {
        let (mut faults, mut notes) = (Vec::new(), Vec::new());
        let config = noted(Config::from_gguf(gguf), &mut faults);
        let weights = config.as_ref().map(|config| Weights::from_gguf(gguf, config));
        let weights = weights.and_then(|weights| noted(weights, &mut faults));
        let tokenizer = Tokenizer::from_gguf(gguf);
        let tokenizer = tokenizer.map_err(|error| format!("{}: {error}", gguf.path().display()));
        let tokenizer = noted(tokenizer, &mut faults);
        notes.extend(tokenizer.iter().flat_map(Tokenizer::notes).cloned());
        let template = ChatTemplate::from_metadata(gguf.metadata());
        let hint = "give another as `chat_template`, or use none (run it with `raw`)";
        let template = noted(template.map_err(|error| format!("{error}; {hint}")), &mut notes);
        let template = template.zip(tokenizer.as_ref()).map(|(own, tokenizer)| {
            let template = own.unwrap_or_else(|| ChatTemplate::for_vocabulary(tokenizer));
            TemplateUse { origin: template.origin(), name: template.name() }
        });
        Loadable { config, weights, template, faults, notes }
    }
}

/// The value, or a note of the error.
fn noted<T, E: Display>(result: Result<T, E>, notes: &mut Vec<String>) -> Option<T> {
    result.map_err(|error| notes.push(error.to_string())).ok()
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
            usual_context_len: config.usual_context_len(),
            window: config.window,
        }
    }
}

impl FormatUse {
    fn of(gguf: &Gguf) -> Vec<FormatUse> {
        let mut uses: Vec<FormatUse> = Vec::new();
        for tensor in gguf.tensors() {
            let format = tensor.type_name();
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
