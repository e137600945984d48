//! Weights in one file or in several, which an index may list: it is the same for files of
//! safetensors and PyTorch's.

use super::error::{CheckpointError, Problem};
use super::folder::Folder;
use super::json::JsonObject;
use super::stored::{SourceFile, StoredTensor, StoredTensors};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file and its tensors.
pub type FileTensors = (Arc<SourceFile>, Vec<(String, StoredTensor)>);

/// What finds the tensors of a file.
pub type ReadFile = fn(&Path) -> Result<FileTensors, CheckpointError>;

/// Finds the tensors of several files.
///
/// # Errors
/// If a file is damaged, or two of them hold a tensor of the same name.
pub fn read(paths: &[&Path], read_file: ReadFile) -> Result<StoredTensors, CheckpointError> {
    let mut stored = StoredTensors::default();
    for path in paths {
        let (file, tensors) = read_file(path)?;
        stored.files.push(file);
        for (name, tensor) in tensors {
            stored.insert(name, tensor)?;
        }
    }
    Ok(stored)
}

/// Finds the tensors of a model's files in a folder: of the one called `single`, or of those that
/// `SINGLE.index.json` lists, or of all whose names are `accepted`. `None` where there is no such
/// file.
///
/// # Errors
/// As [`read`]; and if a file of the index is missing, or has not the tensors that it should have.
pub fn read_folder(
    folder: &Folder,
    single: &str,
    accepted: impl Fn(&str) -> bool,
    read_file: ReadFile,
) -> Result<Option<StoredTensors>, CheckpointError> {
    if folder.has(single) {
        return read(&[&folder.file(single)], read_file).map(Some);
    }
    let index = format!("{single}.index.json");
    if folder.has(&index) {
        return read_index(folder, &index, read_file).map(Some);
    }
    let paths = folder.files(accepted);
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    if paths.is_empty() { Ok(None) } else { read(&paths, read_file).map(Some) }
}

/// Each tensor is where the index says; tensors that it leaves out are where they are.
fn read_index(
    folder: &Folder,
    index: &str,
    read_file: ReadFile,
) -> Result<StoredTensors, CheckpointError> {
    const WEIGHT_MAP: &str = "weight_map";
    let object = JsonObject::read(&folder.file(index))?;
    let what = "which tensor is in which file";
    let map = object.required(WEIGHT_MAP, what, object.object(WEIGHT_MAP))?;
    let mut listed = BTreeMap::new();
    for (tensor, _) in map.iter() {
        let file = map.required(tensor, "the tensor's file", map.str(tensor))?;
        // Neither another folder nor, on systems that have them, another drive.
        if file.is_empty() || file == ".." || file.contains(['/', '\\', ':']) {
            let (tensor, file) = (tensor.to_owned(), file.to_owned());
            return Err(Problem::Outside { tensor, file }.at(object.path()));
        }
        listed.insert(tensor, file);
    }
    let mut shards: Vec<&str> = listed.values().copied().collect();
    shards.sort_unstable();
    shards.dedup();
    let mut stored = StoredTensors::default();
    for shard in shards {
        if !folder.has(shard) {
            return Err(Problem::MissingShard { file: shard.to_owned() }.at(object.path()));
        }
        let (file, tensors) = read_file(&folder.file(shard))?;
        stored.files.push(file);
        for (name, tensor) in tensors {
            if listed.get(name.as_str()).is_none_or(|&its_shard| its_shard == shard) {
                stored.insert(name, tensor)?;
            }
        }
    }
    match listed.iter().find(|&(&tensor, _)| !stored.tensors.contains_key(tensor)) {
        None => Ok(stored),
        Some((&tensor, &file)) => {
            let (tensor, file) = (tensor.to_owned(), file.to_owned());
            Err(Problem::NotInShard { tensor, file }.at(object.path()))
        }
    }
}
