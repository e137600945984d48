//! The tensors of a model, found by their roles, and the views of them that the layer loop uses.
//!
//! Names and shapes are the architecture's ([`crate::architecture`]). Everything stays where the file
//! is mapped; only the norms, a few KB, are copied out.

use super::ModelError;
use super::rope::Divisors;
use super::tensors::Tensors;
use crate::architecture::{Config, ExpertLayout, Role};
use crate::gguf::{Bytes, Gguf, Tensor};
use gatefold_quant::{DynFormat, Isa};
use std::sync::Arc;

/// A matrix `[rows = out features, cols = in features]` of blocks, where the file is mapped or in memory.
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
    pub(super) fn of(tensor: &Tensor) -> Matrix {
        let [.., rows, cols] = tensor.shape[..] else {
            unreachable!("{} has the shape of a matrix", tensor.name)
        };
        Matrix { format: tensor.format, rows, cols, bytes: tensor.bytes.clone(), bias: None }
    }

    /// The same with what is added to its products.
    pub(super) fn with_bias(self, bias: Option<Vec<f32>>) -> Matrix {
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

    /// Puts something in the place of every matrix that belongs to no expert.
    pub(super) fn replace_shared<E>(
        &mut self,
        mut replace: impl FnMut(&Matrix) -> Result<Matrix, E>,
    ) -> Result<(), E> {
        let is_tied = self.output.bytes.as_ptr() == self.token_embedding.bytes.as_ptr();
        let layers = self.layers.iter_mut().flat_map(|layer| {
            let Layer { q, k, v, attention_output, router, .. } = layer;
            [q, k, v, attention_output].into_iter().chain(router)
        });
        let output = (!is_tied).then_some(&mut self.output);
        for matrix in [&mut self.token_embedding].into_iter().chain(output).chain(layers) {
            *matrix = replace(matrix)?;
        }
        if is_tied {
            self.output = self.token_embedding.clone();
        }
        Ok(())
    }

    /// Bytes of the experts of all layers, and of the largest of them.
    pub(super) fn expert_bytes(&self) -> (u64, u64) {
        let experts = self.layers.iter().flat_map(|layer| &layer.experts);
        let bytes = experts.map(|expert| {
            expert.matrices().into_iter().map(|matrix| matrix.bytes.len() as u64).sum::<u64>()
        });
        bytes.fold((0, 0), |(all, largest), bytes| (all + bytes, largest.max(bytes)))
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
    /// Gate, up and down.
    pub(super) fn matrices(&self) -> [&Matrix; 3] {
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
