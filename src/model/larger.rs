//! Models that are larger than memory: what they need of it, how it is shared, and how they are held.

use super::ModelError;
use super::forward::Model;
use super::pages::{PageLayout, TILE_LEN};
use super::store::{Files, Store, disk_rate, least_bytes};
use crate::gguf::{Gguf, PAGE_LEN};
use crate::machine::Machine;
use gatefold_quant::DynFormat;
use std::sync::{Mutex, PoisonError};

/// What a model may take of memory, and for what.
///
/// Weights that fit are mapped. Others share the memory with the keys and values: the matrices that every
/// token needs, two experts, the activations of a step and a sequence of [`SHORT_CONTEXT`] tokens come
/// first. Of the rest keys and values may have an eighth, or a third where many sequences are worked on;
/// all else is for experts, and what keys, values and activations do not use yet. Memory that is less than
/// what comes first is for keys and values alone, and the weights are mapped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Bytes of all of it; none is what is free, less a sixteenth for other programs.
    pub memory_bytes: Option<u64>,
    /// Format of the KV cache; none is the engine's.
    pub cache_format: Option<&'static DynFormat>,
    /// Most tokens of a sequence, if it is known: as many are to fit.
    pub context_len: Option<usize>,
    /// Tokens of a step, if they are known.
    pub max_batched_tokens: Option<usize>,
    /// Whether many sequences are worked on together. Then a step's reads are shared by more of them, the
    /// more keys and values fit.
    pub is_for_many: bool,
}

/// Tokens of keys and values that always fit.
pub const SHORT_CONTEXT: usize = 512;

/// What the program takes beside: its vocabulary, logits, texts.
const PROGRAM_BYTES: u64 = 128 << 20;

/// A matrix is read with the whole pages around it.
const AROUND: u64 = 2 * PAGE_LEN as u64;

/// Tokens of a step, where the disk binds: each step reads what is missing once.
const STEP_LENS: [usize; 5] = [2048, 1024, 512, 256, 128];

/// How memory is shared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shares {
    /// Bytes of weights that may be in memory beside all keys and values and the longest step; none where
    /// all are mapped.
    pub weights_bytes: Option<u64>,
    /// Bytes for keys and values, which experts have until those are there; none where memory does not limit them in particular.
    pub cache_bytes: Option<u64>,
    /// Tokens of a step that are worth their memory; none where more are not better.
    pub max_batched_tokens: Option<usize>,
    /// Bytes of activations for each of them, which experts have until there was a step of so many.
    pub activation_bytes: u64,
}

/// What a model needs of memory, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// All weights.
    pub weights: u64,
    /// The experts' weights, and those of the largest expert.
    pub experts: u64,
    /// See [`Self::experts`].
    pub largest_expert: u64,
    /// Weights that must be in memory for the others to be read; none if they lie in no file.
    pub least_weights: Option<u64>,
    /// Activations, for each token of a step.
    pub activations: u64,
    /// Keys and values of a token.
    pub cache: u64,
}

/// How a model is held that is larger than memory.
#[derive(Clone, Debug)]
pub struct Residence {
    /// Bytes of all weights.
    pub weights_bytes: u64,
    /// Bytes of weights that may be in memory, as long as there are no keys and values, and steps are of
    /// a token.
    pub most_bytes: u64,
    /// Bytes of weights that are, with the buffers of those that pass.
    pub held_bytes: u64,
    /// How many experts stay in memory once they were read, layer by layer: fewer, the more keys and values
    /// there are and the longer the steps.
    pub n_resident: Vec<usize>,
    /// The part of all experts that they are.
    pub expert_share: f64,
}

impl Shares {
    /// Bytes of weights that may be in memory beside keys and values of so many bytes, and the activations
    /// of steps of up to so many tokens.
    fn most_weights(&self, cache_bytes: u64, step_len: usize) -> u64 {
        let unused_tokens = self.max_batched_tokens.unwrap_or(0).saturating_sub(step_len);
        self.weights_bytes.unwrap_or(0)
            + self.cache_bytes.unwrap_or(0).saturating_sub(cache_bytes)
            + self.activation_bytes * unused_tokens as u64
    }
}

impl Needs {
    /// What a model cannot run without but mapped, with steps of so many tokens.
    pub fn least(&self, step_len: usize) -> Option<u64> {
        let beside =
            PROGRAM_BYTES + self.activations * step_len as u64 + self.cache * SHORT_CONTEXT as u64;
        Some(self.least_weights? + beside)
    }

    /// The part of the experts that is in memory in steps of so many tokens, about, as long as there are
    /// hardly any keys and values.
    pub fn expert_share(&self, shares: &Shares, step_len: usize) -> f64 {
        let n_passing = if step_len > 1 { 4 } else { 2 };
        let beside = self.weights - self.experts + n_passing * self.largest_expert;
        shares.most_weights(0, step_len).saturating_sub(beside) as f64 / self.experts.max(1) as f64
    }

    /// The shares of `memory_bytes`.
    pub fn shares(&self, memory_bytes: u64, memory: &Memory) -> Shares {
        let beside = |n_tokens| PROGRAM_BYTES + self.activations * n_tokens as u64;
        let short = self.cache * SHORT_CONTEXT as u64;
        let is_given = memory.memory_bytes.is_some();
        let step_len = memory.max_batched_tokens.unwrap_or(512);
        if self.weights + beside(step_len) + short <= memory_bytes {
            let cache_bytes = is_given.then(|| memory_bytes - self.weights - beside(step_len));
            return Shares {
                weights_bytes: None,
                cache_bytes,
                max_batched_tokens: None,
                activation_bytes: 0,
            };
        }
        let is_worth = |&len: &usize| self.activations * len as u64 <= memory_bytes / 8;
        let worth = STEP_LENS.into_iter().find(is_worth).unwrap_or(STEP_LENS[STEP_LENS.len() - 1]);
        let step_len = memory.max_batched_tokens.unwrap_or(worth);
        let least = self.least(step_len).filter(|&least| least <= memory_bytes);
        let Some(least) = least else {
            let cache_bytes = is_given.then_some(memory_bytes);
            return Shares {
                weights_bytes: None,
                cache_bytes,
                max_batched_tokens: None,
                activation_bytes: 0,
            };
        };
        let room = memory_bytes - least;
        let part = if memory.is_for_many { room / 3 } else { room / 8 };
        let wanted = memory.context_len.map_or(0, |n_tokens| self.cache * n_tokens as u64);
        let cache_bytes = (short + part).max(wanted.min(short + room));
        Shares {
            weights_bytes: Some(memory_bytes - beside(step_len) - cache_bytes),
            cache_bytes: Some(cache_bytes),
            max_batched_tokens: Some(step_len),
            activation_bytes: self.activations,
        }
    }
}

impl Model {
    /// What the model needs of memory, with keys and values in this format.
    pub fn needs(&self, cache_format: Option<&'static DynFormat>) -> Needs {
        let config = &self.config;
        let (expert_bytes, largest) = self.weights.expert_bytes();
        let weights = self.n_tensor_bytes;
        let expert = self.weights.layers.iter().flat_map(|layer| &layer.experts).next();
        let is_in_file = expert.is_some_and(|expert| expert.gate.bytes.in_file().is_some());
        let least = self.shared_bytes() + least_bytes(largest + 3 * AROUND);
        let format = cache_format.unwrap_or_else(|| PageLayout::compact_format(config));
        let cache = PageLayout::new(config, format)
            .map_or(0, |layout| layout.bytes_of(1) / TILE_LEN as u64);
        let (heads, kv_heads) = (config.n_heads, config.n_kv_heads);
        let attention = config.head_dim * (16 * heads + 8 * kv_heads) + 16 * config.dim;
        // Each expert's outputs keep the memory of the step in which it had most tokens. What is between
        // the projections is of a few experts at a time, with about as many tokens as the step.
        let outputs = config.top_k.max(1) * 4 * config.dim * 3 / 2;
        let experts = outputs + 2 * config.dim + 10 * config.hidden_dim;
        Needs {
            weights,
            experts: expert_bytes,
            largest_expert: largest,
            least_weights: is_in_file.then_some(least),
            activations: (attention + experts) as u64,
            cache,
        }
    }

    /// Settles how memory is shared, and where the weights do not fit, reads those that every token needs
    /// into memory of its own; experts follow as they are needed. `progress` hears how many of how many
    /// bytes were read.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn in_memory(
        self,
        gguf: &Gguf,
        memory: &Memory,
        progress: impl FnMut(u64, u64),
    ) -> Result<Model, ModelError> {
        let memory_bytes = memory.memory_bytes.or_else(|| Machine::this().map(Machine::free_bytes));
        let Some(memory_bytes) = memory_bytes else { return Ok(self) };
        let shares = self.needs(memory.cache_format).shares(memory_bytes, memory);
        let mut model = match shares.weights_bytes {
            Some(weights_bytes) => self.within(gguf, weights_bytes, progress)?,
            None => self,
        };
        model.shares = Some(shares);
        let expert_bytes = model.expert_bytes_beside((0, 1));
        if let Some(store) = &mut model.store {
            store.get_mut().unwrap_or_else(PoisonError::into_inner).resize(expert_bytes);
        }
        Ok(model)
    }

    /// Bytes of the weights that every token needs, held in memory of their own.
    fn shared_bytes(&self) -> u64 {
        let (expert_bytes, _) = self.weights.expert_bytes();
        self.n_tensor_bytes - expert_bytes + AROUND * 6 * self.config.n_layers as u64
    }

    /// Bytes that experts may have beside keys and values of so many bytes, and the activations of steps of
    /// up to so many tokens.
    pub(super) fn expert_bytes_beside(&self, (cache_bytes, step_len): (u64, usize)) -> u64 {
        let most = self.shares.map_or(0, |shares| shares.most_weights(cache_bytes, step_len));
        most.saturating_sub(self.shared_bytes())
    }

    /// The model with at most `weights_bytes` of its weights in memory, or as few as it needs where that is
    /// less, and the others read from the disk.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn within(
        mut self,
        gguf: &Gguf,
        weights_bytes: u64,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Model, ModelError> {
        let (expert_bytes, _) = self.weights.expert_bytes();
        let (mut n_read, n_bytes) = (0, self.n_tensor_bytes - expert_bytes);
        let mut files = Files::of(gguf);
        let for_experts = weights_bytes.saturating_sub(self.shared_bytes());
        let store = Store::new(&mut files, &self.weights.layers, for_experts)?;
        self.weights.replace_shared(|matrix| {
            progress(n_read, n_bytes);
            n_read += matrix.bytes.len() as u64;
            store.resident(&mut files, matrix)
        })?;
        progress(n_bytes, n_bytes);
        self.store = Some(Mutex::new(store));
        self.shares = Some(Shares {
            weights_bytes: Some(weights_bytes),
            cache_bytes: None,
            max_batched_tokens: None,
            activation_bytes: 0,
        });
        Ok(self)
    }

    /// How fast the disk reads this model's experts, in bytes per second, as they are read where the model is
    /// larger than memory: so many bytes of them, from all over it. None if they lie in no file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn disk_rate(&self, gguf: &Gguf, n_bytes: u64) -> Result<Option<f64>, ModelError> {
        match self.needs(None).least_weights {
            Some(_) => Ok(Some(disk_rate(&mut Files::of(gguf), &self.weights.layers, n_bytes)?)),
            None => Ok(None),
        }
    }

    /// The first layers of the model alone, to be measured.
    pub fn first_layers(mut self, n_layers: usize) -> Model {
        self.weights.layers.truncate(n_layers);
        self.config.n_layers = self.weights.layers.len();
        self
    }

    /// How memory is shared, where that was settled.
    pub fn shares(&self) -> Option<Shares> {
        self.shares
    }

    /// How the weights are held, where they are not mapped.
    pub fn residence(&self) -> Option<Residence> {
        let store = self.store.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let n_resident: Vec<usize> = store.n_slots().collect();
        let n_experts: usize = self.weights.layers.iter().map(|layer| layer.experts.len()).sum();
        let expert_share = n_resident.iter().sum::<usize>() as f64 / n_experts as f64;
        let (expert_bytes, _) = self.weights.expert_bytes();
        Some(Residence {
            weights_bytes: self.n_tensor_bytes,
            most_bytes: self.shared_bytes() + self.expert_bytes_beside((0, 1)),
            held_bytes: self.n_tensor_bytes - expert_bytes + store.held_bytes(),
            n_resident,
            expert_share,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of Mixtral 8x7B in Q4_K, about.
    const NEEDS: Needs = Needs {
        weights: 26_300_000_000,
        experts: 25_400_000_000,
        largest_expert: 99_000_000,
        least_weights: Some(1_100_000_000),
        activations: 340_000,
        cache: 70_000,
    };

    fn shares(memory_bytes: u64, memory: Memory) -> Shares {
        NEEDS.shares(memory_bytes, &memory)
    }

    #[test]
    fn what_fits_is_mapped() {
        let free = Memory::default();
        assert_eq!(shares(27_000_000_000, free).weights_bytes, None);
        assert_eq!(shares(27_000_000_000, free).cache_bytes, None);
        let given = Memory { memory_bytes: Some(30_000_000_000), ..free };
        let cache_bytes = 30_000_000_000 - NEEDS.weights - PROGRAM_BYTES - 512 * NEEDS.activations;
        assert_eq!(shares(30_000_000_000, given).cache_bytes, Some(cache_bytes));
    }

    #[test]
    fn what_does_not_fit_shares_the_memory() {
        for memory_bytes in [2, 4, 13, 23, 26].map(|n| n * 1_000_000_000) {
            for (is_for_many, context_len) in [(false, None), (true, None), (false, Some(32_768))] {
                let memory = Memory { is_for_many, context_len, ..Memory::default() };
                let found = shares(memory_bytes, memory);
                let (weights, cache) = (found.weights_bytes.unwrap(), found.cache_bytes.unwrap());
                let step_len = found.max_batched_tokens.unwrap() as u64;
                let all = weights + cache + PROGRAM_BYTES + step_len * NEEDS.activations;
                assert_eq!(all, memory_bytes);
                assert!(weights >= 1_100_000_000 && cache >= 512 * NEEDS.cache);
                let whole = 32_768 * NEEDS.cache;
                assert!(context_len.is_none() || cache >= whole || weights == 1_100_000_000);
            }
        }
        let [one, many] = [false, true]
            .map(|is_for_many| shares(13_000_000_000, Memory { is_for_many, ..Memory::default() }));
        assert_eq!(one.max_batched_tokens, Some(2048));
        assert!(2 * one.cache_bytes.unwrap() < many.cache_bytes.unwrap());
    }

    #[test]
    fn too_little_is_for_keys_and_values_alone() {
        let memory = Memory { memory_bytes: Some(1_000_000_000), ..Memory::default() };
        let found = shares(1_000_000_000, memory);
        assert_eq!((found.weights_bytes, found.cache_bytes), (None, Some(1_000_000_000)));
        assert!(NEEDS.least(128).unwrap() < 1_350_000_000);
        let in_memory = Needs { least_weights: None, ..NEEDS };
        assert_eq!(in_memory.shares(5_000_000_000, &Memory::default()).weights_bytes, None);
    }
}
