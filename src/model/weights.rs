//! The tensors of a model: their names in a file, their shapes, and the views the layer loop uses.
//!
//! Everything stays where the file is mapped; only the norms, a few KB, are copied out.

use super::{Config, ModelError};
use crate::gguf::{Bytes, Gguf, Tensor};
use gatefold_quant::{DynFormat, Isa};
use serde::Serialize;
use std::collections::HashSet;

/// A matrix `[rows = out features, cols = in features]` of blocks, where the file is mapped.
#[derive(Clone)]
pub struct Matrix {
    /// The format of its blocks.
    pub format: &'static DynFormat,
    /// Out features.
    pub rows: usize,
    /// In features.
    pub cols: usize,
    /// Its blocks, row after row.
    pub bytes: Bytes,
}

impl Matrix {
    /// Bytes per row.
    pub fn row_bytes(&self) -> usize {
        self.bytes.len() / self.rows
    }

    /// Number of weights.
    pub fn n_weights(&self) -> u64 {
        (self.rows * self.cols) as u64
    }

    /// Reads one row back, `[cols]`.
    pub fn dequantize_row(&self, isa: Isa, row: usize, out: &mut [f32]) {
        let row_bytes = self.row_bytes();
        self.format.dequantize(isa, &self.bytes[row * row_bytes..][..row_bytes], out);
    }
}

/// One expert: `down(silu(gate x) * up x)`. In the checkpoints' words w1 is gate, w3 up, w2 down.
pub struct Expert {
    /// `[hidden_dim, dim]`
    pub gate: Matrix,
    /// `[hidden_dim, dim]`
    pub up: Matrix,
    /// `[dim, hidden_dim]`
    pub down: Matrix,
}

/// One transformer layer.
pub struct Layer {
    /// `[dim]`
    pub attention_norm: Vec<f32>,
    /// Query projection, `[n_heads * head_dim, dim]`
    pub q: Matrix,
    /// Key projection, `[n_kv_heads * head_dim, dim]`
    pub k: Matrix,
    /// Value projection, `[n_kv_heads * head_dim, dim]`
    pub v: Matrix,
    /// Output projection, `[dim, n_heads * head_dim]`
    pub attention_output: Matrix,
    /// `[dim]`
    pub ffn_norm: Vec<f32>,
    /// `[n_experts, dim]`; none in a dense model, whose one expert takes every token.
    pub router: Option<Matrix>,
    /// The experts.
    pub experts: Vec<Expert>,
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

/// All tensors.
pub struct Weights {
    /// `[n_vocab, dim]`
    pub token_embedding: Matrix,
    /// The layers.
    pub layers: Vec<Layer>,
    /// `[dim]`
    pub output_norm: Vec<f32>,
    /// `[n_vocab, dim]`; the token embedding where a file ties the two.
    pub output: Matrix,
    /// Divisors of the rotary frequencies, `[rope.n_dims / 2]`, where the file has them.
    pub rope_divisors: Option<Vec<f32>>,
    /// How the file stores the experts.
    pub expert_layout: ExpertLayout,
}

impl Weights {
    /// Finds every tensor and checks its shape.
    ///
    /// # Errors
    /// If a tensor is missing, has another shape, or is one that the architecture does not have
    /// (running without it would give wrong results).
    pub fn from_gguf(gguf: &Gguf, config: &Config) -> Result<Weights, ModelError> {
        let mut tensors =
            Tensors { gguf, used: HashSet::new(), expert_layout: ExpertLayout::Dense };
        let n_vocab = tensors.n_vocab()?;
        let token_embedding = tensors.matrix("token_embd.weight", n_vocab, config.dim)?;
        let output = match gguf.tensor("output.weight") {
            Some(_) => tensors.matrix("output.weight", n_vocab, config.dim)?,
            None => token_embedding.clone(),
        };
        let n_divisors = config.rope.n_dims / 2;
        let rope_divisors = match gguf.tensor("rope_freqs.weight") {
            Some(_) => Some(tensors.vector("rope_freqs.weight", n_divisors)?),
            None => None,
        };
        let weights = Weights {
            token_embedding,
            layers: (0..config.n_layers)
                .map(|layer_idx| Layer::find(&mut tensors, layer_idx, config))
                .collect::<Result<_, _>>()?,
            output_norm: tensors.vector("output_norm.weight", config.dim)?,
            output,
            rope_divisors,
            expert_layout: tensors.expert_layout,
        };
        tensors.refuse_unused()?;
        Ok(weights)
    }

    /// Bytes of the matrices that a token is multiplied with, being routed to `top_k` experts per
    /// layer: what generating one token reads from memory.
    pub fn bytes_per_token(&self, top_k: usize) -> u64 {
        let matrices = self.active(top_k).chain([&self.output]);
        matrices.map(|matrix| matrix.bytes.len() as u64).sum()
    }

    /// Weights of the layers that a token is multiplied with, being routed to `top_k` experts each.
    pub fn n_active(&self, top_k: usize) -> u64 {
        self.active(top_k).map(Matrix::n_weights).sum()
    }

    /// The matrices of the layers that a token is multiplied with.
    fn active(&self, top_k: usize) -> impl Iterator<Item = &Matrix> {
        self.layers.iter().flat_map(move |layer| {
            let attention = [&layer.q, &layer.k, &layer.v, &layer.attention_output];
            let experts = layer.experts.iter().take(top_k.max(1)).flat_map(Expert::matrices);
            attention.into_iter().chain(&layer.router).chain(experts)
        })
    }

    /// Weights of the experts that a token is not routed to.
    pub fn n_idle(&self, top_k: usize) -> u64 {
        let idle = self.layers.iter().flat_map(|layer| layer.experts.iter().skip(top_k.max(1)));
        idle.flat_map(Expert::matrices).map(Matrix::n_weights).sum()
    }
}

impl Layer {
    fn find(
        tensors: &mut Tensors<'_>,
        layer_idx: usize,
        config: &Config,
    ) -> Result<Layer, ModelError> {
        let name = |part: &str| format!("blk.{layer_idx}.{part}.weight");
        let (dim, q_dim) = (config.dim, config.n_heads * config.head_dim);
        let kv_dim = config.n_kv_heads * config.head_dim;
        let router = match config.n_experts {
            0 => None,
            n_experts => Some(tensors.matrix(&name("ffn_gate_inp"), n_experts, dim)?),
        };
        Ok(Layer {
            attention_norm: tensors.vector(&name("attn_norm"), dim)?,
            q: tensors.matrix(&name("attn_q"), q_dim, dim)?,
            k: tensors.matrix(&name("attn_k"), kv_dim, dim)?,
            v: tensors.matrix(&name("attn_v"), kv_dim, dim)?,
            attention_output: tensors.matrix(&name("attn_output"), dim, q_dim)?,
            ffn_norm: tensors.vector(&name("ffn_norm"), dim)?,
            router,
            experts: Expert::find_all(tensors, layer_idx, config)?,
        })
    }
}

impl Expert {
    fn matrices(&self) -> [&Matrix; 3] {
        [&self.gate, &self.up, &self.down]
    }

    fn find_all(
        tensors: &mut Tensors<'_>,
        layer_idx: usize,
        config: &Config,
    ) -> Result<Vec<Expert>, ModelError> {
        let (dim, hidden_dim) = (config.dim, config.hidden_dim);
        let mut find =
            |part, rows, cols| tensors.experts(layer_idx, part, config.n_experts, rows, cols);
        let gates = find("ffn_gate", hidden_dim, dim)?;
        let ups = find("ffn_up", hidden_dim, dim)?;
        let downs = find("ffn_down", dim, hidden_dim)?;
        let experts = gates.into_iter().zip(ups).zip(downs);
        Ok(experts.map(|((gate, up), down)| Expert { gate, up, down }).collect())
    }
}

/// A file's tensors, with a note of which were asked for.
struct Tensors<'a> {
    gguf: &'a Gguf,
    used: HashSet<String>,
    /// How the experts found last are stored.
    expert_layout: ExpertLayout,
}

impl<'a> Tensors<'a> {
    fn error(&self, tensor: &str, problem: String) -> ModelError {
        let file = self.gguf.path().display().to_string();
        ModelError::Tensor { file, tensor: tensor.to_owned(), problem }
    }

    fn get(&mut self, name: &str) -> Result<&'a Tensor, ModelError> {
        self.used.insert(name.to_owned());
        self.gguf.tensor(name).ok_or_else(|| {
            let advice = "is missing: the file is not a whole model, download or convert it again";
            self.error(name, advice.to_owned())
        })
    }

    /// Rows of the embedding: as many as the tokenizer has tokens, or ids would mean nothing.
    fn n_vocab(&mut self) -> Result<usize, ModelError> {
        const NAME: &str = "token_embd.weight";
        const TOKENS: &str = "tokenizer.ggml.tokens";
        let n_rows = self.get(NAME)?.shape[0];
        match self.gguf.metadata().strings(TOKENS)? {
            Some(tokens) if tokens.len() != n_rows => {
                let n_tokens = tokens.len();
                let problem = format!(
                    "has {n_rows} rows, but {TOKENS} has {n_tokens} tokens; convert the model again"
                );
                Err(self.error(NAME, problem))
            }
            _ => Ok(n_rows),
        }
    }

    fn with_shape(&mut self, name: &str, shape: &[usize]) -> Result<&'a Tensor, ModelError> {
        let tensor = self.get(name)?;
        if tensor.shape != shape {
            let problem = format!(
                "has shape {:?} (outermost first), but the metadata asks for {shape:?}",
                tensor.shape
            );
            return Err(self.error(name, problem));
        }
        Ok(tensor)
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<Matrix, ModelError> {
        let tensor = self.with_shape(name, &[rows, cols])?;
        Ok(Matrix { format: tensor.format, rows, cols, bytes: tensor.bytes.clone() })
    }

    fn vector(&mut self, name: &str, len: usize) -> Result<Vec<f32>, ModelError> {
        let tensor = self.with_shape(name, &[len])?;
        let mut vector = vec![0.0; len];
        tensor.format.dequantize(Isa::SCALAR, &tensor.bytes, &mut vector);
        Ok(vector)
    }

    /// The matrices of one part of every expert, from either layout: merged
    /// (`blk.0.ffn_gate_exps`, `[n_experts, rows, cols]`) or a tensor each (`blk.0.ffn_gate.3`).
    /// A dense model has one: `blk.0.ffn_gate`.
    fn experts(
        &mut self,
        layer_idx: usize,
        part: &str,
        n_experts: usize,
        rows: usize,
        cols: usize,
    ) -> Result<Vec<Matrix>, ModelError> {
        if n_experts == 0 {
            let dense = self.matrix(&format!("blk.{layer_idx}.{part}.weight"), rows, cols)?;
            return Ok(vec![dense]);
        }
        let first = format!("blk.{layer_idx}.{part}.0.weight");
        if self.gguf.tensor(&first).is_some() {
            self.expert_layout = ExpertLayout::Separate;
            return (0..n_experts)
                .map(|expert_idx| {
                    self.matrix(&format!("blk.{layer_idx}.{part}.{expert_idx}.weight"), rows, cols)
                })
                .collect();
        }
        self.expert_layout = ExpertLayout::Merged;
        let merged = format!("blk.{layer_idx}.{part}_exps.weight");
        let tensor = self.with_shape(&merged, &[n_experts, rows, cols])?;
        let expert_bytes = tensor.bytes.len() / n_experts;
        let slice = |expert_idx| {
            tensor.bytes.slice(expert_idx * expert_bytes..(expert_idx + 1) * expert_bytes)
        };
        Ok((0..n_experts)
            .map(|expert_idx| Matrix {
                format: tensor.format,
                rows,
                cols,
                bytes: slice(expert_idx),
            })
            .collect())
    }

    fn refuse_unused(&self) -> Result<(), ModelError> {
        match self.gguf.tensors().find(|tensor| !self.used.contains(&tensor.name)) {
            None => Ok(()),
            Some(tensor) => {
                let problem = "is none that this architecture has; gatefold would have to ignore it, \
                               and the results would be wrong";
                Err(self.error(&tensor.name, problem.to_owned()))
            }
        }
    }
}
