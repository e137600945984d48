//! Layouts: under which names, and in which arrangement, a kind of checkpoint stores the tensors of
//! a GGUF.

use super::decoding::{Decoding, Numbers, Scale};
use super::error::{CheckpointError, Problem};
use super::rope::Computed;
use super::stored::{StoredTensor, StoredTensors};
use super::tensor::{Part, RowOrder, Tensor};
use crate::architecture::{LLAMA, ModelSpec, Presence, Role, Scope, TensorSlot};
use gatefold_quant::DynFormat;
use std::collections::HashSet;
use std::iter;
use std::path::Path;

/// A layout, as data.
pub struct Layout {
    /// Where each tensor is.
    pub tensors: Vec<Entry>,
    /// Tensors that are in none of the files.
    pub computed: Vec<Computed>,
    /// What the files may hold besides, by the ends of names: buffers that say what the sizes say, and
    /// scales of what a model computes.
    pub ignored: Vec<&'static str>,
}

/// A line of a layout: a tensor's role, its name in the checkpoint (in which `N` stands for the layer
/// and `E` for the expert), and how its rows are arranged there.
pub type Entry = (Role, &'static str, Arrangement);

/// How a checkpoint stores a tensor of a GGUF.
#[derive(Clone, Copy, Debug)]
pub enum Arrangement {
    /// As it is in a GGUF.
    Same,
    /// Heads rotate halves, not neighbours: the rows of a matrix, or the values of a vector.
    Halves,
    /// `[n_experts, rows, cols]` as a matrix per expert.
    Separate,
    /// In the upper halves of `[n_experts, 2 * rows, cols]`.
    UpperHalves,
    /// In the lower halves of `[n_experts, 2 * rows, cols]`.
    LowerHalves,
    /// The experts below each other, `[n_experts * rows, cols]`.
    Stacked,
    /// The transposed experts below each other, `[n_experts * cols, rows]`.
    StackedTransposed,
}

/// Rows of a stored tensor that become rows of a GGUF's.
struct Piece {
    /// What `E` in the stored name stands for.
    expert_idx: usize,
    /// The shape that the whole stored tensor must have.
    shape: Vec<usize>,
    /// Weights of it before the piece.
    start: usize,
    rows: usize,
    cols: usize,
    order: RowOrder,
}

impl Layout {
    /// The tensors of `model`, found among the `stored` ones of `folder`.
    ///
    /// # Errors
    /// If one is missing, has another shape or numbers that are no weights, and if there is one
    /// that the model does not have.
    pub fn arrange(
        &self,
        folder: &Path,
        model: &ModelSpec,
        stored: &StoredTensors,
    ) -> Result<Vec<Tensor>, CheckpointError> {
        let mut used = HashSet::new();
        let mut tensors = Vec::new();
        for slot in model.tensors() {
            let computed = self.computed.iter().find(|(role, _)| *role == slot.spec.role);
            if let Some((_, values)) = computed {
                tensors.push(Tensor::of_values(slot.name, values, folder));
                continue;
            }
            let (_, stored_name, arrangement) = self.entry(slot.spec.role);
            let mut parts = Vec::new();
            for piece in arrangement.pieces(&slot, model.config.head_dim) {
                let name = in_place(stored_name, slot.layer_idx, piece.expert_idx);
                let missing = || Problem::MissingTensor { tensor: name.clone() }.at(folder);
                let source = stored.tensors.get(&name).ok_or_else(missing)?;
                let scale = scale_of(&name, stored);
                let part = piece.part(&name, source, scale)?;
                let is_scaled = part.decoding.as_ref().is_some_and(Decoding::is_scaled);
                used.extend(scale.filter(|_| is_scaled).map(|(name, _)| name.clone()));
                used.insert(name);
                parts.push(part);
            }
            tensors.push(Tensor::of_parts(slot.name, slot.shape, parts));
        }
        let ignored = |name: &str| self.ignored.iter().any(|end| name.ends_with(end));
        let unknown = |name: &&String| !used.contains(*name) && !ignored(name);
        match stored.tensors.keys().find(unknown) {
            None => Ok(tensors),
            Some(name) => {
                let path = &stored.tensors[name].file.path;
                Err(Problem::Unknown { tensor: name.clone() }.at(path))
            }
        }
    }

    /// What some models have in their layers, where the first layer has it among the `stored`.
    pub fn optional(&self, stored: &StoredTensors) -> impl Iterator<Item = Role> {
        let is_optional = |role: Role| {
            let spec = LLAMA.tensor(role);
            spec.is_some_and(|it| it.presence == Presence::Optional && it.scope != Scope::Model)
        };
        let is_stored = |name| stored.tensors.contains_key(&in_place(name, Some(0), 0));
        let entries = self.tensors.iter();
        let found = entries.filter(move |(role, name, _)| is_optional(*role) && is_stored(name));
        found.map(|(role, ..)| *role)
    }

    fn entry(&self, role: Role) -> Entry {
        let mut entries = self.tensors.iter();
        *entries.find(|entry| entry.0 == role).expect("a layout has a line per role")
    }
}

/// What the numbers of a stored matrix are multiplied by, if the files have that.
fn scale_of<'s>(name: &str, stored: &'s StoredTensors) -> Option<(&'s String, &'s StoredTensor)> {
    let names = ["_scale_inv", "_scale"].map(|end| format!("{name}{end}"));
    names.iter().find_map(|name| stored.tensors.get_key_value(name))
}

/// The stored name, with the numbers in place of `N` and `E`.
fn in_place(name: &str, layer_idx: Option<usize>, expert_idx: usize) -> String {
    let parts = name.split('.').map(|part| match (part, layer_idx) {
        ("N", Some(layer_idx)) => layer_idx.to_string(),
        ("E", _) => expert_idx.to_string(),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join(".")
}

impl Arrangement {
    /// What a tensor is put together from, top to bottom: made one by one, because the number of
    /// experts is only a claim until all have been found.
    fn pieces(self, slot: &TensorSlot, head_dim: usize) -> Box<dyn Iterator<Item = Piece>> {
        let whole = slot.shape.clone();
        let cols = whole[whole.len() - 1];
        let rows = if whole.len() > 1 { whole[whole.len() - 2] } else { 1 };
        let n_experts = if whole.len() > 2 { whole[0] } else { 1 };
        let piece = move |expert_idx, shape, start, order| Piece {
            expert_idx,
            shape,
            start,
            rows,
            cols,
            order,
        };
        let once = |piece| -> Box<dyn Iterator<Item = Piece>> { Box::new(iter::once(piece)) };
        let halves = move |half: usize| {
            let doubled = vec![n_experts, 2 * rows, cols];
            (0..n_experts).map(move |expert_idx| {
                let start = (2 * expert_idx + half) * rows * cols;
                piece(expert_idx, doubled.clone(), start, RowOrder::Stored)
            })
        };
        let all = |shape| Piece { rows: n_experts * rows, ..piece(0, shape, 0, RowOrder::Stored) };
        match self {
            Arrangement::Same => once(all(whole)),
            Arrangement::Stacked => once(all(vec![n_experts * rows, cols])),
            // The values of a vector are as many rows of one.
            Arrangement::Halves => {
                let (rows, cols) = if whole.len() > 1 { (rows, cols) } else { (cols, 1) };
                let order = RowOrder::HalvesToPairs { n_heads: rows / head_dim };
                once(Piece { rows, cols, ..piece(0, whole, 0, order) })
            }
            Arrangement::Separate => {
                Box::new((0..n_experts).map(move |expert_idx| {
                    piece(expert_idx, vec![rows, cols], 0, RowOrder::Stored)
                }))
            }
            Arrangement::UpperHalves => Box::new(halves(0)),
            Arrangement::LowerHalves => Box::new(halves(1)),
            Arrangement::StackedTransposed => {
                let stacked = vec![n_experts * cols, rows];
                Box::new((0..n_experts).map(move |expert_idx| {
                    let start = expert_idx * cols * rows;
                    piece(expert_idx, stacked.clone(), start, RowOrder::Transposed)
                }))
            }
        }
    }
}

impl Piece {
    /// Where the piece is. Only a stored tensor of the right shape has one: its size is the file's,
    /// so that products of its sizes cannot overflow.
    fn part(
        self,
        name: &str,
        stored: &StoredTensor,
        scale: Option<(&String, &StoredTensor)>,
    ) -> Result<Part, CheckpointError> {
        let Piece { shape, start, rows, cols, order, .. } = self;
        let refuse = |problem: Problem| Err(problem.at(&stored.file.path));
        let tensor = name.to_owned();
        if stored.shape != shape {
            let found = stored.shape.clone();
            return refuse(Problem::Shape { tensor, found, expected: shape });
        }
        // The scale of a matrix that is all there is to the tensor; of others, it would be unclear.
        let scale = scale.filter(|_| shape == [rows, cols] && order != RowOrder::Transposed);
        let scale = scale.map(|(name, stored)| Scale::new(name, stored, [rows, cols]));
        let scale = scale.transpose()?;
        // One weight per block: checkpoints of this kind hold plain numbers.
        let (format, decoding, weight_bytes) = match &stored.format {
            Ok(format) => (*format, None, format.block_bytes),
            Err(found) => {
                let numbers = Numbers::by_name(found);
                let Some(numbers) = numbers.filter(|it| it.are_weights() || scale.is_some()) else {
                    return refuse(Problem::NumberType { tensor, found: found.clone() });
                };
                let format = DynFormat::by_name("F32").expect("F32 is registered");
                (format, Some(Decoding::Numbers { numbers, scale }), numbers.n_bytes())
            }
        };
        let offset = stored.offset + (start * weight_bytes) as u64;
        Ok(Part { file: stored.file.clone(), offset, format, decoding, rows, cols, order })
    }
}
