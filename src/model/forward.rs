//! The forward pass: prefill and decode are the same steps, of many tokens or of one per sequence.

use super::attention::{self, add_attention};
use super::larger::Shares;
use super::moe::{self, add_experts};
use super::product::{Inputs, Panels, Product, fill, multiply};
use super::rope::Rope;
use super::routes::Gates;
use super::step::{Chunk, Logits, Step, Wanted};
use super::store::Store;
use super::weights::{Layer, Matrix, Weights};
use super::{ModelError, ReadError};
use crate::architecture::Config;
use crate::compute::Compute;
use crate::gguf::Gguf;
use rayon::prelude::*;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A model, its weights where the file is mapped, or as far as they fit in memory.
pub struct Model {
    pub(super) config: Config,
    pub(super) weights: Weights,
    rope: Rope,
    /// Bytes of all tensors.
    pub(super) n_tensor_bytes: u64,
    /// How memory is shared, where that was settled.
    pub(super) shares: Option<Shares>,
    /// The experts of a model that is larger than memory.
    pub(super) store: Option<Mutex<Store>>,
    /// The memory of the last step, for the next one: none has to be taken from the system again.
    workspace: Mutex<Workspace>,
}

/// The memory that the layers of a step share.
#[derive(Default)]
struct Workspace {
    /// Most tokens of a step that it was used for.
    most_tokens: usize,
    h: Inputs,
    attention: attention::Workspace,
    moe: moe::Workspace,
    output: Panels,
}

impl Model {
    /// Finds and checks the tensors of a file. Nothing is copied but the norms.
    ///
    /// # Errors
    /// If the file is no model of this architecture, or not a whole one.
    pub fn load(gguf: &Gguf) -> Result<Model, ModelError> {
        let config = Config::from_gguf(gguf)?;
        let weights = Weights::from_gguf(gguf, &config)?;
        let rope = Rope::new(&config.rope, weights.rope_divisors.clone());
        Ok(Model {
            config,
            weights,
            rope,
            n_tensor_bytes: gguf.n_tensor_bytes(),
            shares: None,
            store: None,
            workspace: Mutex::default(),
        })
    }

    /// The model's sizes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The layers' weights.
    pub fn layers(&self) -> &[Layer] {
        &self.weights.layers
    }

    /// Tokens in the vocabulary.
    pub fn n_vocab(&self) -> usize {
        self.weights.token_embedding.rows
    }

    /// Multiply-adds with weights in a step of `n_tokens`, of which `n_wanted` get their logits.
    pub fn multiply_adds(&self, n_tokens: usize, n_wanted: usize) -> u64 {
        let in_layers = self.weights.n_active(self.config.top_k);
        in_layers * n_tokens as u64 + self.weights.output.n_weights() * n_wanted as u64
    }

    /// Checks that tokens can follow `n_past` others in a context of `context_len`.
    ///
    /// # Errors
    /// If one is not in the vocabulary or they do not fit into the context.
    pub fn check(
        &self,
        tokens: &[u32],
        n_past: usize,
        context_len: usize,
    ) -> Result<(), ModelError> {
        self.check_vocabulary(tokens)?;
        let wanted = n_past + tokens.len();
        if wanted > context_len {
            let trained_len = self.config.context_len;
            return Err(ModelError::Context { wanted, context_len, trained_len });
        }
        Ok(())
    }

    /// Checks that the vocabulary has the tokens.
    ///
    /// # Errors
    /// If it has not.
    pub fn check_vocabulary(&self, tokens: &[u32]) -> Result<(), ModelError> {
        let n_vocab = self.n_vocab();
        match tokens.iter().find(|&&id| id as usize >= n_vocab) {
            Some(&id) => Err(ModelError::Token { id, n_vocab }),
            None => Ok(()),
        }
    }

    /// Takes chunks of any number of sequences through the model together, layer by layer.
    ///
    /// Each token's logits depend on its sequence alone: not on the other chunks, nor on how a
    /// sequence was cut into chunks, nor on the instruction set or the number of threads.
    ///
    /// # Errors
    /// If a token is not in the vocabulary, a sequence would outgrow its context or the memory, or
    /// weights cannot be read. The sequences are as they were then.
    pub fn forward(
        &self,
        compute: &Compute,
        chunks: &mut [Chunk<'_>],
    ) -> Result<Logits, ModelError> {
        self.forward_gated(compute, chunks, Gates::default())
    }

    /// As [`Self::forward`], with the routers watched or an expert left out. A step of which nothing
    /// is wanted in `gates` does nothing more for it.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn forward_gated(
        &self,
        compute: &Compute,
        chunks: &mut [Chunk<'_>],
        gates: Gates<'_>,
    ) -> Result<Logits, ModelError> {
        for Chunk { cache, tokens, .. } in chunks.iter_mut() {
            self.check(tokens, cache.len(), cache.context_len())?;
            cache.reserve(tokens.len())?;
        }
        let step = self.embed(compute, chunks);
        // A step beside another has no part in the store: it computes with experts where the file is
        // mapped. To wait here could be to wait for oneself, in a thread of the same pool.
        let mut store = self.store.as_ref().and_then(|store| store.try_lock().ok());
        let store = store.as_deref_mut();
        compute.run_spinning(|| self.through_layers(compute, step, gates, store))
    }

    fn through_layers(
        &self,
        compute: &Compute,
        mut step: Step<'_, '_>,
        gates: Gates<'_>,
        mut store: Option<&mut Store>,
    ) -> Result<Logits, ModelError> {
        let mut work = mem::take(&mut *self.workspace());
        let (n_tokens, top_k) = (step.rotations.len(), self.config.top_k);
        work.most_tokens = work.most_tokens.max(n_tokens);
        if let Some(store) = &mut store {
            let cache_bytes = step.chunks.iter().map(|chunk| chunk.cache.pool_bytes()).max();
            let beside = (cache_bytes.unwrap_or(0), work.most_tokens);
            store.begin_step(n_tokens, top_k, self.expert_bytes_beside(beside));
        }
        let layer_bytes =
            self.layer_by_layer(compute, &mut step, gates, &mut work, store.as_deref_mut());
        let disk_bytes = store.map_or(0, Store::end_step);
        let expert_tokens = mem::take(&mut work.moe.expert_tokens);
        let logits = layer_bytes.map(|layer_bytes| {
            for chunk in step.chunks.iter_mut() {
                chunk.cache.advance(chunk.tokens.len());
            }
            let (values, output_bytes) = self.logits(compute, &step, &mut work);
            Logits { values, weight_bytes: layer_bytes + output_bytes, disk_bytes, expert_tokens }
        });
        *self.workspace() = work;
        Ok(logits?)
    }

    /// Takes a step's rows through the layers. Returns the bytes of weights that were read.
    fn layer_by_layer(
        &self,
        compute: &Compute,
        step: &mut Step<'_, '_>,
        mut gates: Gates<'_>,
        work: &mut Workspace,
        mut store: Option<&mut Store>,
    ) -> Result<u64, ReadError> {
        gates.routes.iter_mut().for_each(|routes| routes.clear());
        if let Some(inputs) = &mut gates.inputs {
            let chunks = step.chunks.iter();
            inputs.begin_step(chunks.map(|chunk| (chunk.cache.len(), chunk.tokens.len())));
        }
        let is_watched = gates.watch_inputs();
        let Model { config, weights, .. } = self;
        let mut weight_bytes = 0;
        for (layer_idx, layer) in weights.layers.iter().enumerate() {
            let h = &mut work.h;
            let matrices = attention::input_matrices(layer);
            self.norm(compute, (&step.x, &layer.attention_norm), matrices, is_watched, h);
            let (layer_at, attention) = ((layer_idx, layer), &mut work.attention);
            weight_bytes +=
                add_attention(compute, config, layer_at, h, step, attention, &mut gates);

            let random = gates.random(layer_idx);
            let matrices = moe::input_matrices(layer).chain(&random);
            self.norm(compute, (&step.x, &layer.ffn_norm), matrices, is_watched, h);
            let (x, work) = (&mut step.x, (&mut work.moe, store.as_deref_mut()));
            weight_bytes += add_experts(compute, layer_at, config.top_k, h, x, work, &mut gates)?;
        }
        Ok(weight_bytes)
    }

    /// The memory of the last step. A step that runs beside another makes its own.
    fn workspace(&self) -> MutexGuard<'_, Workspace> {
        self.workspace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rows of the step: the tokens' embeddings.
    fn embed<'a, 'c>(&self, compute: &Compute, chunks: &'a mut [Chunk<'c>]) -> Step<'a, 'c> {
        let dim = self.config.dim;
        let (mut x, mut rotations) = (Vec::new(), Vec::new());
        for Chunk { cache, tokens, .. } in chunks.iter() {
            let frequencies = self.rope.frequencies(cache.context_len());
            for (position, &id) in (cache.len()..).zip(*tokens) {
                let start = x.len();
                x.resize(start + dim, 0.0);
                self.weights.token_embedding.dequantize_row(
                    compute.isa,
                    id as usize,
                    &mut x[start..],
                );
                rotations.push(frequencies.rotation(position));
            }
        }
        Step { chunks, x, rotations }
    }

    /// Stores the normalized rows of `x` for products with `matrices`; as floats too where they are
    /// watched.
    fn norm<'m>(
        &self,
        compute: &Compute,
        (x, weight): (&[f32], &[f32]),
        matrices: impl Iterator<Item = &'m Matrix>,
        is_watched: bool,
        h: &mut Inputs,
    ) {
        let Config { dim, norm_epsilon, .. } = self.config;
        h.reset((x.len() / dim, dim), matrices, is_watched);
        fill(compute, [(0, h)], dim, |_, row, out| {
            compute.isa.rms_norm(&x[row * dim..][..dim], weight, norm_epsilon, out);
        });
    }

    /// The logits of the wanted rows, and the bytes of weights read for them.
    fn logits(
        &self,
        compute: &Compute,
        step: &Step<'_, '_>,
        work: &mut Workspace,
    ) -> (Vec<f32>, u64) {
        let (dim, n_vocab) = (self.config.dim, self.n_vocab());
        let mut wanted = Vec::new();
        let mut next_row = 0;
        for chunk in step.chunks.iter() {
            let rows = next_row..next_row + chunk.tokens.len();
            next_row = rows.end;
            wanted.extend(match chunk.wanted {
                Wanted::None => 0..0,
                Wanted::Last => rows.end.saturating_sub(1).max(rows.start)..rows.end,
                Wanted::All => rows,
            });
        }
        let rows: Vec<f32> =
            wanted.iter().flat_map(|row| &step.x[row * dim..][..dim]).copied().collect();
        let Workspace { h, output, .. } = work;
        let matrix = &self.weights.output;
        let (norm, matrices) = (&self.weights.output_norm, [matrix].into_iter());
        self.norm(compute, (&rows, norm), matrices, false, h);
        let weight_bytes = multiply(compute, [Product { matrix, inputs: h, out: output }]);
        let mut values = vec![0.0; wanted.len() * n_vocab];
        values.par_chunks_exact_mut(n_vocab).enumerate().for_each(|(row, logits)| {
            output.copy_token(row, logits);
        });
        (values, weight_bytes)
    }
}
