//! A model to be written: its sizes, and which tensors and keys they make.

use super::{ArchitectureError, Config, Presence, Role, Scope, TensorSpec};
use crate::gguf::{ARCHITECTURE_KEY, Metadata, Value};
use std::path::Path;

/// What there is to know of a model before its weights.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// Its sizes.
    pub config: Config,
    /// Tokens it has embeddings for.
    pub n_vocab: usize,
    /// The optional tensors that it has. One without [`Role::Output`] ties the output matrix to the
    /// embedding.
    pub optional: Vec<Role>,
}

/// A tensor of a model to be written. Experts are merged.
#[derive(Clone, Debug)]
pub struct TensorSlot {
    /// Its line of the architecture's table.
    pub spec: &'static TensorSpec,
    /// Its layer; `None` outside of the layers.
    pub layer_idx: Option<usize>,
    /// Its name in a GGUF.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

impl ModelSpec {
    /// The keys of a GGUF that say what the model is, without those of the tokenizer. `source` is the
    /// file that the sizes are from, for messages.
    ///
    /// # Errors
    /// If the sizes contradict each other: what could not be run is not written either.
    pub fn metadata(
        &self,
        name: Option<String>,
        source: &Path,
    ) -> Result<Metadata, ArchitectureError> {
        let mut metadata = Metadata::new();
        let architecture = Value::String(self.config.architecture.name.into());
        metadata.set(ARCHITECTURE_KEY, architecture);
        metadata.set("general.type", Value::String("model".into()));
        if let Some(name) = name {
            metadata.set("general.name", Value::String(name));
        }
        self.config.write(self.n_vocab, &mut metadata);
        Config::from_metadata(source, &metadata)?;
        Ok(metadata)
    }

    /// Whether the output matrix is the embedding, and has no tensor.
    pub fn is_tied(&self) -> bool {
        !self.optional.contains(&Role::Output)
    }

    /// Its tensors, in the order in which a token meets them.
    pub fn tensors(&self) -> impl Iterator<Item = TensorSlot> {
        let is_layered = |spec: &TensorSpec| spec.scope != Scope::Model;
        // The table goes through a layer once, a model once per layer.
        let tensors = self.config.architecture.tensors;
        let stretches = tensors.chunk_by(move |a, b| is_layered(a) == is_layered(b));
        stretches.flat_map(move |specs| {
            let n_layers = if is_layered(&specs[0]) { self.config.n_layers } else { 1 };
            let places = (0..n_layers)
                .flat_map(move |layer_idx| specs.iter().map(move |spec| (layer_idx, spec)));
            places.filter(|(_, spec)| self.has(spec)).map(|(idx, spec)| self.slot(idx, spec))
        })
    }

    fn has(&self, spec: &TensorSpec) -> bool {
        let is_there = spec.presence == Presence::Required || self.optional.contains(&spec.role);
        is_there && spec.is_in(&self.config)
    }

    fn slot(&self, layer_idx: usize, spec: &'static TensorSpec) -> TensorSlot {
        let mut shape = spec.shape(&self.config, self.n_vocab);
        let is_merged = spec.scope == Scope::Expert && self.config.n_experts > 0;
        let name = match is_merged {
            true => spec.merged_name(layer_idx),
            false => spec.name(layer_idx),
        };
        if is_merged {
            shape.insert(0, self.config.n_experts);
        }
        let layer_idx = Some(layer_idx).filter(|_| spec.scope != Scope::Model);
        TensorSlot { spec, layer_idx, name, shape }
    }
}
