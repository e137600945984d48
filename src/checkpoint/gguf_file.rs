//! GGUF files as checkpoints, the old layout with one tensor per expert included.

use super::Checkpoint;
use super::decoding::Decoding;
use super::error::{CheckpointError, Problem};
use super::stored::SourceFile;
use super::tensor::{Part, RowOrder, Tensor};
use crate::architecture::{Architecture, ExpertTensor};
use crate::gguf::{self, FILE_TYPE_KEY, Gguf, GgufError, Packing, is_of_one_file};
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
    // The type of a file of tensors that are read as others is that of others, too.
    let is_packed = gguf.tensors().any(|tensor| tensor.packing.is_some());
    metadata.retain(|key| !(is_of_one_file(key) || is_packed && key == FILE_TYPE_KEY));
    let tensors = tensors(&gguf, &files)?;
    Ok(Checkpoint {
        path: path.to_path_buf(),
        kind: "a GGUF",
        files,
        metadata,
        tensors,
        notes: notes(&gguf),
    })
}

/// What is read otherwise than it is stored.
fn notes(gguf: &Gguf) -> Vec<String> {
    let mut packings: Vec<Packing> = Vec::new();
    for packing in gguf.tensors().filter_map(|tensor| tensor.packing) {
        if !packings.contains(&packing) {
            packings.push(packing);
        }
    }
    let note = |packing: Packing| {
        format!(
            "tensors of {} are read as {}, with the same weights",
            packing.name(),
            packing.format()
        )
    };
    packings.into_iter().map(note).collect()
}

/// What a file is that begins as nothing does which is read.
pub(super) fn refusal(path: &Path) -> CheckpointError {
    let not_gguf = |why: &str| format!("is not a GGUF file{why}");
    match Gguf::open(path) {
        Err(GgufError { path, problem }) => match *problem {
            gguf::Problem::NotGguf(why) => {
                Problem::NotACheckpoint(not_gguf(&format!(": {why}"))).at(&path)
            }
            problem => GgufError { path, problem: Box::new(problem) }.into(),
        },
        // Somebody has put another file there in the meantime.
        Ok(_) => Problem::NotACheckpoint(not_gguf("")).at(path),
    }
}

/// The tensors, in file order; merged experts come where the first one was.
fn tensors(gguf: &Gguf, files: &[Arc<SourceFile>]) -> Result<Vec<Tensor>, CheckpointError> {
    let architecture = Architecture::of(gguf.metadata())?;
    let n_experts = match architecture {
        Some(architecture) => architecture.n_experts(gguf.metadata())?,
        None => 0,
    };
    let n_experts = usize::try_from(n_experts).unwrap_or(usize::MAX);
    let expert_of = |name: &str| architecture?.expert_tensor(name).filter(|_| n_experts > 0);
    let mut merged = HashSet::new();
    let mut tensors = Vec::new();
    for stored in gguf.tensors() {
        let Some(expert) = expert_of(&stored.name) else {
            let parts = vec![part(stored, files)];
            tensors.push(Tensor::of_parts(stored.name.clone(), stored.shape.clone(), parts));
            continue;
        };
        let name = expert.spec.merged_name(expert.layer_idx);
        if expert.expert_idx >= n_experts || gguf.tensor(&name).is_some() {
            let problem = Problem::Unknown { tensor: stored.name.clone() };
            return Err(problem.at(&files[stored.part_idx].path));
        }
        if merged.insert(name) {
            tensors.push(merge(expert, gguf, files, n_experts)?);
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
        decoding: stored.packing.map(Decoding::Packed),
        rows: stored.n_weights() / cols,
        cols,
        order: RowOrder::Stored,
    }
}

/// The tensor of all experts of a layer, of which `first` is one.
fn merge(
    first: ExpertTensor,
    gguf: &Gguf,
    files: &[Arc<SourceFile>],
    n_experts: usize,
) -> Result<Tensor, CheckpointError> {
    let ExpertTensor { spec, layer_idx, .. } = first;
    let mut shape: Option<&Vec<usize>> = None;
    let mut parts = Vec::new();
    for expert_idx in 0..n_experts {
        let name = spec.expert_name(layer_idx, expert_idx);
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
    Ok(Tensor::of_parts(spec.merged_name(layer_idx), shape, parts))
}
