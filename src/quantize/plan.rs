//! What becomes of each tensor of a checkpoint, and in which file it goes.

use super::recipe::{self, Place, Recipe};
use crate::architecture::{LLAMA, Role, TensorSpec};
use crate::checkpoint::{Checkpoint, Tensor};
use crate::gguf::{FILE_TYPE_KEY, Metadata, Value};
use crate::imatrix::{Imatrix, Importance, Problem};
use crate::text::printable;
use gatefold_quant::DynFormat;
use regex::Regex;
use std::ops::Range;
use std::sync::Arc;
use thiserror::Error;

/// What a conversion shall write.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The keys of the file, of the first file where there are several.
    pub metadata: Metadata,
    /// A line per tensor of the checkpoint, in its order.
    pub tensors: Vec<PlannedTensor>,
    /// The tensors of each file: one range, or several for a split model. Together they are all.
    pub parts: Vec<Range<usize>>,
    /// Identifies the importance matrix, if there is one.
    pub imatrix: Option<[u8; 32]>,
}

/// What becomes of a tensor.
#[derive(Clone, Debug)]
pub struct PlannedTensor {
    /// The format it gets. Where it has that already, its bytes are copied.
    pub format: &'static DynFormat,
    /// Its size in that format.
    pub n_bytes: u64,
    /// Why that format.
    pub reason: Reason,
    /// How much errors of its columns count, where that is known and makes a difference.
    pub importance: Option<Arc<Importance>>,
}

/// Why a tensor gets its format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// The recipe says so, or the tensor is to stay as it is.
    Recipe,
    /// The user says so.
    Override,
    /// Its rows are not whole blocks of the format it should have had.
    Fallback(&'static DynFormat),
}

/// What the user wants.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The recipe; without one, every tensor keeps its format (experts that differ get the finest
    /// among them), but for norms and routers in 16 bits, which become F32.
    pub recipe: Option<&'static Recipe>,
    /// Formats for tensors by name; of several that match, the last counts.
    pub overrides: Vec<Override>,
    /// Whether tensors that are quantized may be quantized again.
    pub allow_requantize: bool,
    /// How much errors of columns count.
    pub imatrix: Option<Arc<NamedImatrix>>,
    /// Whether that is only found out later: the plan is then none to quantize by.
    pub is_preview: bool,
    /// The most bytes of tensors in a file. A single tensor larger than that has a file of its own.
    pub most_bytes: Option<u64>,
}

/// An importance matrix, and what it is called.
#[derive(Clone, Debug)]
pub struct NamedImatrix {
    /// The file.
    pub name: String,
    /// What is in it.
    pub imatrix: Imatrix,
}

/// A format for the tensors whose names match.
#[derive(Clone, Debug)]
pub struct Override {
    /// Searched for in the names.
    pub pattern: Regex,
    /// What they get.
    pub format: &'static DynFormat,
}

/// Why there is no plan.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Losing twice.
    #[error(
        "tensor {} is {from} already, and as {to} it would lose a second time; convert the original in F16, BF16 or F32, or pass `allow_requantize`",
        printable(tensor)
    )]
    Requantize {
        /// Which tensor.
        tensor: String,
        /// What it is.
        from: &'static DynFormat,
        /// What it shall be.
        to: &'static DynFormat,
    },
    /// Blocks for a vector, which no runtime reads.
    #[error(
        "tensor {} is a vector, which runtimes read as F32 or F16; leave it out of `tensor_types` {pattern}={to}",
        printable(tensor)
    )]
    Vector {
        /// Which tensor.
        tensor: String,
        /// The pattern that matches it.
        pattern: String,
        /// What it shall be.
        to: &'static DynFormat,
    },
    /// So few bits that they must go where they count, which is not known.
    #[error(
        "tensor {} cannot become {to} before it is known how much errors of its columns count: give `imatrix` a file that says so, or `calibrate` to find out first",
        printable(tensor)
    )]
    Unweighted {
        /// Which tensor.
        tensor: String,
        /// What it shall be.
        to: &'static DynFormat,
    },
    /// Nothing to write.
    #[error("has no tensors: it is no model; name another file")]
    NoTensors,
    /// Sums of another model.
    #[error("{}: {problem}", printable(file))]
    Imatrix {
        /// The importance matrix.
        file: String,
        /// What does not fit.
        problem: Problem,
    },
    /// A pattern for nothing.
    #[error("`tensor_types` {pattern}={to} matches no tensor; `dry_run` lists their names")]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// Its format.
        to: &'static DynFormat,
    },
}

impl Plan {
    /// Decides for every tensor of `checkpoint`.
    ///
    /// # Errors
    /// If an option cannot be met; see [`PlanError`].
    pub fn new(checkpoint: &Checkpoint, options: &Options) -> Result<Plan, PlanError> {
        let names = || checkpoint.tensors.iter().map(|tensor| tensor.name.as_str());
        if checkpoint.tensors.is_empty() {
            return Err(PlanError::NoTensors);
        }
        for Override { pattern, format } in &options.overrides {
            if !names().any(|name| pattern.is_match(name)) {
                return Err(PlanError::NoMatch { pattern: pattern.to_string(), to: format });
            }
        }
        // Other architectures have the same names for tensors of these roles.
        let roles: Vec<_> = names().map(|name| LLAMA.role_of(name)).collect();
        let has = |role| roles.iter().any(|&(other, _)| other == Some(role));
        let (is_moe, is_tied) = (has(Role::Router), !has(Role::Output));
        let n_layers = roles.iter().filter_map(|(_, layer_idx)| *layer_idx).max();
        let n_layers = n_layers.map_or(0, |last: usize| last.saturating_add(1));
        let place = |tensor: &Tensor, (role, layer_idx): (Option<Role>, Option<usize>)| {
            let role = match role {
                Some(Role::Embedding) if is_tied => Some(Role::Output),
                role => role,
            };
            let spec = role.and_then(|role| LLAMA.tensor(role));
            let is_vector = tensor.shape.len() == 1 || spec.is_some_and(TensorSpec::is_vector);
            Place { role, is_vector, layer_idx: layer_idx.unwrap_or(0), n_layers, is_moe }
        };
        let tensors = checkpoint.tensors.iter().zip(&roles);
        let tensors = tensors.map(|(tensor, &role)| options.planned(tensor, place(tensor, role)));
        let tensors: Vec<PlannedTensor> = tensors.collect::<Result<_, _>>()?;
        Ok(Plan {
            metadata: metadata(checkpoint, options, &tensors),
            parts: parts(&tensors, options.most_bytes.unwrap_or(u64::MAX)),
            tensors,
            imatrix: options.imatrix.as_ref().map(|named| named.imatrix.digest()),
        })
    }

    /// Bytes of all tensors.
    pub fn n_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.n_bytes).sum()
    }
}

impl Options {
    fn planned(&self, tensor: &Tensor, place: Place) -> Result<PlannedTensor, PlanError> {
        let overriding = self.overrides.iter().rfind(|it| it.pattern.is_match(&tensor.name));
        let (wanted, reason) = match overriding {
            Some(overriding) => (overriding.format, Reason::Override),
            None => (self.by_recipe(tensor, place), Reason::Recipe),
        };
        if let Some(Override { pattern, .. }) = overriding
            && place.is_vector
            && wanted.block_len > 1
        {
            let (tensor, pattern) = (tensor.name.clone(), pattern.to_string());
            return Err(PlanError::Vector { tensor, pattern, to: wanted });
        }
        let format = recipe::fitting(wanted, tensor.n_cols());
        let loses_again =
            |from: &DynFormat| from.block_len > 1 && format.block_len > 1 && *from != *format;
        let allowed = self.allow_requantize || self.recipe.is_none() && overriding.is_none();
        let from = tensor.parts.iter().map(|part| part.format).find(|from| loses_again(from));
        if let Some(from) = from.filter(|_| !allowed) {
            let tensor = tensor.name.clone();
            return Err(PlanError::Requantize { tensor, from, to: format });
        }
        let row_bytes = format.row_bytes(tensor.n_cols()).expect("a format that fits");
        let importance = self.importance(tensor, format, place.is_vector)?;
        let is_made = tensor.parts.iter().any(|part| part.format != format);
        if is_made && format.needs_importance() && importance.is_none() && !self.is_preview {
            return Err(PlanError::Unweighted { tensor: tensor.name.clone(), to: format });
        }
        Ok(PlannedTensor {
            format,
            n_bytes: tensor.n_rows() as u64 * row_bytes as u64,
            reason: if format == wanted { reason } else { Reason::Fallback(wanted) },
            importance,
        })
    }

    /// How much errors of the columns of a tensor count, which becomes `format`.
    fn importance(
        &self,
        tensor: &Tensor,
        format: &DynFormat,
        is_vector: bool,
    ) -> Result<Option<Arc<Importance>>, PlanError> {
        let changes = tensor.parts.iter().any(|part| *part.format != *format);
        let named = self.imatrix.as_ref().filter(|_| changes && format.block_len > 1 && !is_vector);
        let Some(named) = named else { return Ok(None) };
        let [before @ .., _, _] = &tensor.shape[..] else { return Ok(None) };
        let n_matrices = before.iter().product();
        let found = named.imatrix.importance(&tensor.name, n_matrices, tensor.n_cols());
        let found =
            found.map_err(|problem| PlanError::Imatrix { file: named.name.clone(), problem });
        Ok(found?.map(Arc::new))
    }

    fn by_recipe(&self, tensor: &Tensor, place: Place) -> &'static DynFormat {
        match self.recipe {
            Some(recipe) => recipe.format(place),
            None => {
                let is_small = place.is_vector || place.role == Some(Role::Router);
                DynFormat::by_name("F32").filter(|_| is_small && tensor.format.block_len == 1)
            }
        }
        .unwrap_or(tensor.format)
    }
}

/// The keys of the checkpoint, and those that tell what was made of it.
fn metadata(checkpoint: &Checkpoint, options: &Options, tensors: &[PlannedTensor]) -> Metadata {
    /// Of the block formats' layouts; those before it were of 2023.
    const QUANTIZATION_VERSION: u32 = 2;
    let mut metadata = checkpoint.metadata.clone();
    // A copy without a file type gets that of most of its bytes.
    let largest = || tensors.iter().max_by_key(|tensor| tensor.n_bytes);
    let recipe = options.recipe.or_else(|| {
        let largest = largest().filter(|_| !metadata.contains(FILE_TYPE_KEY));
        largest.and_then(|tensor| recipe::by_name(tensor.format.name))
    });
    if let Some(recipe) = recipe {
        metadata.set(FILE_TYPE_KEY, Value::U32(recipe.file_type));
    }
    if tensors.iter().any(|tensor| tensor.format.block_len > 1) {
        metadata.set("general.quantization_version", Value::U32(QUANTIZATION_VERSION));
    }
    if let Some(NamedImatrix { name, imatrix }) = options.imatrix.as_deref() {
        let number = |number: u64| Value::U32(number.try_into().unwrap_or(u32::MAX));
        metadata.set("quantize.imatrix.file", Value::String(name.clone()));
        if let Some(dataset) = imatrix.datasets.first() {
            metadata.set("quantize.imatrix.dataset", Value::String(dataset.clone()));
        }
        metadata.set("quantize.imatrix.entries_count", number(imatrix.entries().len() as u64));
        metadata.set("quantize.imatrix.chunks_count", number(imatrix.n_chunks));
    }
    metadata
}

/// As many tensors in each file as stay within `most_bytes`.
fn parts(tensors: &[PlannedTensor], most_bytes: u64) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut start, mut n_bytes) = (0, 0u64);
    for (idx, tensor) in tensors.iter().enumerate() {
        if n_bytes.saturating_add(tensor.n_bytes) > most_bytes && start < idx {
            parts.push(start..idx);
            (start, n_bytes) = (idx, 0);
        }
        n_bytes = n_bytes.saturating_add(tensor.n_bytes);
    }
    parts.push(start..tensors.len());
    parts
}
