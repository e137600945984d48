//! GGUF files as checkpoints, the old layout with one tensor per expert included.

use super::Checkpoint;
use super::error::{CheckpointError, Problem};
use super::stored::SourceFile;
use super::tensor::{Part, RowOrder, Tensor};
use crate::gguf::{self, Gguf, is_of_one_file};
use std::collections::HashSet;
use std::iter;
use std::path::Path;
use std::sync::Arc;

/// The four bytes with which a GGUF begins.
const MAGIC: &[u8; 4] = b"GGUF";

/// Whether a file begins as a GGUF does.
pub(super) fn has_magic(path: &Path) -> Result<bool, CheckpointError> {
    let file = SourceFile::open(path)?;
    let mut magic = [0; MAGIC.len()];
    if file.n_bytes < magic.len() as u64 {
        return Ok(false);
    }
    file.read_at(0, &mut magic)?;
    Ok(magic == *MAGIC)
}

/// Opens a GGUF, or all parts of a split one. Experts that have tensors of their own come out
/// merged; all else is passed on as it is, of any architecture.
///
/// # Errors
/// Whatever is wrong with the file.
pub fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let gguf = Gguf::open(path)?;
    let files = gguf.parts().iter().map(|part| SourceFile::open(&part.path));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let mut metadata = gguf.metadata().clone();
    metadata.retain(|key| !is_of_one_file(key));
    let tensors = tensors(&gguf, &files)?;
    Ok(Checkpoint { path: path.to_path_buf(), kind: "a GGUF", files, metadata, tensors })
}

/// The tensors, in file order; merged experts come where the first one was.
fn tensors(gguf: &Gguf, files: &[Arc<SourceFile>]) -> Result<Vec<Tensor>, CheckpointError> {
    let n_experts = match gguf.metadata().str("general.architecture")? {
        Some("llama") => gguf.metadata().u64("llama.expert_count")?.unwrap_or(0),
        _ => 0,
    };
    let mut merged = HashSet::new();
    let mut tensors = Vec::new();
    for stored in gguf.tensors() {
        let refuse = |problem: Problem| Err(problem.at(&files[stored.part_idx].path));
        match Expert::named(&stored.name).filter(|_| n_experts > 0) {
            None => tensors.push(Tensor::of_parts(
                stored.name.clone(),
                stored.shape.clone(),
                vec![part(stored, files)],
            )),
            Some(expert) if expert.idx >= n_experts || gguf.tensor(&expert.merged).is_some() => {
                return refuse(Problem::Unknown { tensor: stored.name.clone() });
            }
            Some(expert) => {
                if merged.insert(expert.merged.clone()) {
                    tensors.push(expert.merge(gguf, files, n_experts)?);
                }
            }
        }
    }
    Ok(tensors)
}

/// A tensor, all of it, as rows.
fn part(stored: &gguf::Tensor, files: &[Arc<SourceFile>]) -> Part {
    let cols = stored.shape.last().copied().unwrap_or(1);
    Part {
        file: files[stored.part_idx].clone(),
        offset: stored.offset,
        format: stored.format,
        rows: stored.n_weights() / cols,
        cols,
        order: RowOrder::Stored,
    }
}

/// A tensor of the old layout, `blk.3.ffn_gate.7.weight`.
struct Expert<'a> {
    /// `blk.3.ffn_gate`
    stem: &'a str,
    idx: u64,
    /// The tensor that it becomes part of: `blk.3.ffn_gate_exps.weight`.
    merged: String,
}

impl Expert<'_> {
    /// What a name says, if it is one of an expert's tensors.
    fn named(name: &str) -> Option<Expert<'_>> {
        let (stem, idx) = name.strip_suffix(".weight")?.rsplit_once('.')?;
        let idx: u64 = idx.parse().ok()?;
        let is_matrix = ["ffn_gate", "ffn_up", "ffn_down"].iter().any(|end| stem.ends_with(end));
        let expert = Expert { stem, idx, merged: format!("{stem}_exps.weight") };
        (is_matrix && expert.name_of(idx) == name).then_some(expert)
    }

    fn name_of(&self, idx: u64) -> String {
        format!("{}.{idx}.weight", self.stem)
    }

    /// The tensor of all experts of the layer.
    fn merge(
        self,
        gguf: &Gguf,
        files: &[Arc<SourceFile>],
        n_experts: u64,
    ) -> Result<Tensor, CheckpointError> {
        let mut shape: Option<&Vec<usize>> = None;
        let mut parts = Vec::new();
        for idx in 0..n_experts {
            let name = self.name_of(idx);
            let Some(stored) = gguf.tensor(&name) else {
                return Err(Problem::MissingTensor { tensor: name }.at(gguf.path()));
            };
            let expected = *shape.get_or_insert(&stored.shape);
            if stored.shape != *expected {
                let (found, expected) = (stored.shape.clone(), expected.clone());
                let problem = Problem::Shape { tensor: name, found, expected };
                return Err(problem.at(&files[stored.part_idx].path));
            }
            parts.push(part(stored, files));
        }
        let of_one = shape.into_iter().flatten().copied();
        let shape = iter::once(parts.len()).chain(of_one).collect();
        Ok(Tensor::of_parts(self.merged, shape, parts))
    }
}
