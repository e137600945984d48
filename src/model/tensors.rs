//! The tensors of a file by their roles, with checked shapes.

use super::ModelError;
use super::rope::Divisors;
use super::weights::Matrix;
use crate::architecture::{Config, ExpertLayout, Presence, Role, RopeScaling, TensorSpec};
use crate::gguf::{Gguf, Tensor};
use gatefold_quant::Isa;
use std::collections::HashSet;

/// A file's tensors by their roles, with a note of which were asked for.
pub(super) struct Tensors<'a> {
    gguf: &'a Gguf,
    config: &'a Config,
    /// Rows of the token embedding.
    n_vocab: usize,
    used: HashSet<String>,
    /// How the experts found last are stored.
    pub expert_layout: ExpertLayout,
}

impl<'a> Tensors<'a> {
    pub fn new(gguf: &'a Gguf, config: &'a Config) -> Result<Tensors<'a>, ModelError> {
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
        let tensor = self.gguf.tensor(name).ok_or_else(|| {
            let advice = "is missing: the file is not a whole model, download or convert it again";
            self.error(name, advice.to_owned())
        })?;
        match tensor.packing {
            None => Ok(tensor),
            Some(packing) => {
                let (found, format) = (packing.name(), packing.format());
                let advice = format!(
                    "is {found}, which gatefold does not run as it is; `gatefold quantize` with the type COPY makes {format} of it, with the same weights"
                );
                Err(self.error(name, advice))
            }
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

    pub fn matrix(&mut self, role: Role, layer_idx: usize) -> Result<Matrix, ModelError> {
        self.find(role, layer_idx).map(Matrix::of)
    }

    /// A matrix with its bias, if there is one.
    pub fn biased(
        &mut self,
        role: Role,
        bias: Role,
        layer_idx: usize,
    ) -> Result<Matrix, ModelError> {
        let bias = self.optional_vector(bias, layer_idx)?;
        Ok(self.matrix(role, layer_idx)?.with_bias(bias))
    }

    pub fn optional_matrix(
        &mut self,
        role: Role,
        layer_idx: usize,
    ) -> Result<Option<Matrix>, ModelError> {
        Ok(self.find_optional(role, layer_idx)?.map(Matrix::of))
    }

    pub fn vector(&mut self, role: Role, layer_idx: usize) -> Result<Vec<f32>, ModelError> {
        self.find(role, layer_idx).map(floats)
    }

    pub fn optional_vector(
        &mut self,
        role: Role,
        layer_idx: usize,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        Ok(self.find_optional(role, layer_idx)?.map(floats))
    }

    /// The matrices of every expert of a layer, from either layout; a dense model has one, perhaps
    /// with a bias.
    pub fn experts(
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
    pub fn rope_divisors(&mut self) -> Result<Divisors, ModelError> {
        if let RopeScaling::LongRope { .. } = self.config.rope.scaling {
            let short = Some(self.vector(Role::ShortRotaryDivisors, 0)?);
            return Ok(Divisors { short, long: Some(self.vector(Role::LongRotaryDivisors, 0)?) });
        }
        Ok(Divisors { short: self.optional_vector(Role::RotaryDivisors, 0)?, long: None })
    }

    pub fn refuse_unused(&self) -> Result<(), ModelError> {
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
