//! The tensors of a model, found by their roles, and the views of them that the layer loop uses.
//!
//! Names and shapes are the architecture's ([`crate::architecture`]). Everything stays where the file
//! is mapped; only the norms, a few KB, are copied out.

use super::ModelError;
use super::rope::Divisors;
use crate::architecture::{Config, ExpertLayout, Presence, Role, RopeScaling, TensorSpec};
use crate::gguf::{Bytes, Gguf, Tensor};
use gatefold_quant::{DynFormat, Isa};
use std::collections::HashSet;
use std::sync::Arc;

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
    /// What is added to its products, `[rows]`, where the file has it.
    pub bias: Option<Arc<[f32]>>,
}

impl Matrix {
    /// The last two axes of a tensor, which has at least two.
    fn of(tensor: &Tensor) -> Matrix {
        let [.., rows, cols] = tensor.shape[..] else {
            unreachable!("{} has the shape of a matrix", tensor.name)
        };
        Matrix { format: tensor.format, rows, cols, bytes: tensor.bytes.clone(), bias: None }
    }

    /// The same with what is added to its products.
    fn with_bias(self, bias: Option<Vec<f32>>) -> Matrix {
        Matrix { bias: bias.map(Into::into), ..self }
    }

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
    /// `[head_dim]`, where heads' queries are normalized before they are rotated.
    pub q_norm: Option<Vec<f32>>,
    /// Key projection, `[n_kv_heads * head_dim, dim]`
    pub k: Matrix,
    /// `[head_dim]`, where heads' keys are normalized before they are rotated.
    pub k_norm: Option<Vec<f32>>,
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
    /// Divisors of the rotary frequencies.
    pub rope_divisors: Divisors,
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
        let mut tensors = Tensors::new(gguf, config)?;
        let token_embedding = tensors.matrix(Role::Embedding, 0)?;
        let output = tensors.optional_matrix(Role::Output, 0)?;
        let rope_divisors = tensors.rope_divisors()?;
        let layers = (0..config.n_layers).map(|layer_idx| Layer::find(&mut tensors, layer_idx));
        let weights = Weights {
            layers: layers.collect::<Result<_, _>>()?,
            output: output.unwrap_or_else(|| token_embedding.clone()),
            token_embedding,
            output_norm: tensors.vector(Role::OutputNorm, 0)?,
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
    fn find(tensors: &mut Tensors<'_>, layer_idx: usize) -> Result<Layer, ModelError> {
        Ok(Layer {
            router: tensors.optional_matrix(Role::Router, layer_idx)?,
            attention_norm: tensors.vector(Role::AttentionNorm, layer_idx)?,
            q: tensors.biased(Role::Query, Role::QueryBias, layer_idx)?,
            q_norm: tensors.optional_vector(Role::QueryNorm, layer_idx)?,
            k: tensors.biased(Role::Key, Role::KeyBias, layer_idx)?,
            k_norm: tensors.optional_vector(Role::KeyNorm, layer_idx)?,
            v: tensors.biased(Role::Value, Role::ValueBias, layer_idx)?,
            attention_output: tensors.biased(
                Role::AttentionOutput,
                Role::AttentionOutputBias,
                layer_idx,
            )?,
            ffn_norm: tensors.vector(Role::FeedForwardNorm, layer_idx)?,
            experts: Expert::find_all(tensors, layer_idx)?,
        })
    }
}

impl Expert {
    fn matrices(&self) -> [&Matrix; 3] {
        [&self.gate, &self.up, &self.down]
    }

    fn find_all(tensors: &mut Tensors<'_>, layer_idx: usize) -> Result<Vec<Expert>, ModelError> {
        let gates = tensors.experts(Role::Gate, Role::GateBias, layer_idx)?;
        let ups = tensors.experts(Role::Up, Role::UpBias, layer_idx)?;
        let downs = tensors.experts(Role::Down, Role::DownBias, layer_idx)?;
        let experts = gates.into_iter().zip(ups).zip(downs);
        Ok(experts.map(|((gate, up), down)| Expert { gate, up, down }).collect())
    }
}

/// A file's tensors by their roles, with a note of which were asked for.
struct Tensors<'a> {
    gguf: &'a Gguf,
    config: &'a Config,
    /// Rows of the token embedding.
    n_vocab: usize,
    used: HashSet<String>,
    /// How the experts found last are stored.
    expert_layout: ExpertLayout,
}

impl<'a> Tensors<'a> {
    fn new(gguf: &'a Gguf, config: &'a Config) -> Result<Tensors<'a>, ModelError> {
        let (used, expert_layout) = (HashSet::new(), ExpertLayout::Dense);
        let mut tensors = Tensors { gguf, config, n_vocab: 0, used, expert_layout };
        tensors.n_vocab = tensors.n_vocab()?;
        Ok(tensors)
    }

    /// Rows of the embedding.
    fn n_vocab(&mut self) -> Result<usize, ModelError> {
        let name = self.spec(Role::Embedding).name(0);
        Ok(self.get(&name)?.shape[0])
    }

    fn error(&self, tensor: &str, problem: String) -> ModelError {
        let file = self.gguf.path().display().to_string();
        ModelError::Tensor { file, tensor: tensor.to_owned(), problem }
    }

    /// The line of the architecture's table for a role that no model can do without.
    fn spec(&self, role: Role) -> &'static TensorSpec {
        let spec = self.config.architecture.tensor(role);
        spec.unwrap_or_else(|| panic!("{} has a tensor {role:?}", self.config.architecture.name))
    }

    fn get(&mut self, name: &str) -> Result<&'a Tensor, ModelError> {
        self.used.insert(name.to_owned());
        self.gguf.tensor(name).ok_or_else(|| {
            let advice = "is missing: the file is not a whole model, download or convert it again";
            self.error(name, advice.to_owned())
        })
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

    /// The tensor with this role in a layer (which does not count outside of the layers).
    fn find(&mut self, role: Role, layer_idx: usize) -> Result<&'a Tensor, ModelError> {
        let spec = self.spec(role);
        self.with_shape(&spec.name(layer_idx), &spec.shape(self.config, self.n_vocab))
    }

    /// The same, unless the model has no such tensor.
    fn find_optional(
        &mut self,
        role: Role,
        layer_idx: usize,
    ) -> Result<Option<&'a Tensor>, ModelError> {
        let spec = self.config.architecture.tensor(role).filter(|spec| spec.is_in(self.config));
        let Some(spec) = spec else { return Ok(None) };
        let is_there = || self.gguf.tensor(&spec.name(layer_idx)).is_some();
        match spec.presence == Presence::Required || is_there() {
            true => self.find(role, layer_idx).map(Some),
            false => Ok(None),
        }
    }

    fn matrix(&mut self, role: Role, layer_idx: usize) -> Result<Matrix, ModelError> {
        self.find(role, layer_idx).map(Matrix::of)
    }

    /// A matrix with its bias, if there is one.
    fn biased(&mut self, role: Role, bias: Role, layer_idx: usize) -> Result<Matrix, ModelError> {
        let bias = self.optional_vector(bias, layer_idx)?;
        Ok(self.matrix(role, layer_idx)?.with_bias(bias))
    }

    fn optional_matrix(
        &mut self,
        role: Role,
        layer_idx: usize,
    ) -> Result<Option<Matrix>, ModelError> {
        Ok(self.find_optional(role, layer_idx)?.map(Matrix::of))
    }

    fn vector(&mut self, role: Role, layer_idx: usize) -> Result<Vec<f32>, ModelError> {
        self.find(role, layer_idx).map(floats)
    }

    fn optional_vector(
        &mut self,
        role: Role,
        layer_idx: usize,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        Ok(self.find_optional(role, layer_idx)?.map(floats))
    }

    /// The matrices of every expert of a layer, from either layout; a dense model has one, perhaps
    /// with a bias.
    fn experts(
        &mut self,
        role: Role,
        bias: Role,
        layer_idx: usize,
    ) -> Result<Vec<Matrix>, ModelError> {
        let (spec, n_experts) = (self.spec(role), self.config.n_experts);
        if n_experts == 0 {
            return Ok(vec![self.biased(role, bias, layer_idx)?]);
        }
        let mut shape = spec.shape(self.config, self.n_vocab);
        if self.gguf.tensor(&spec.expert_name(layer_idx, 0)).is_some() {
            self.expert_layout = ExpertLayout::Separate;
            let names = (0..n_experts).map(|expert_idx| spec.expert_name(layer_idx, expert_idx));
            return names.map(|name| self.with_shape(&name, &shape).map(Matrix::of)).collect();
        }
        self.expert_layout = ExpertLayout::Merged;
        shape.insert(0, n_experts);
        let tensor = self.with_shape(&spec.merged_name(layer_idx), &shape)?;
        let expert_bytes = tensor.bytes.len() / n_experts;
        let experts = (0..n_experts).map(|expert_idx| {
            let bytes =
                tensor.bytes.slice(expert_idx * expert_bytes..(expert_idx + 1) * expert_bytes);
            Matrix { bytes, ..Matrix::of(tensor) }
        });
        Ok(experts.collect())
    }

    /// LongRoPE's are two tensors, and a model cannot do without them.
    fn rope_divisors(&mut self) -> Result<Divisors, ModelError> {
        if let RopeScaling::LongRope { .. } = self.config.rope.scaling {
            let short = Some(self.vector(Role::ShortRotaryDivisors, 0)?);
            return Ok(Divisors { short, long: Some(self.vector(Role::LongRotaryDivisors, 0)?) });
        }
        Ok(Divisors { short: self.optional_vector(Role::RotaryDivisors, 0)?, long: None })
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

/// The weights of a small tensor.
fn floats(tensor: &Tensor) -> Vec<f32> {
    let mut floats = vec![0.0; tensor.n_weights()];
    tensor.format.dequantize(Isa::SCALAR, &tensor.bytes, &mut floats);
    floats
}
