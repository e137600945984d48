//! Safetensors files, one or several with an index.
//!
//! The format: <https://github.com/huggingface/safetensors#format>. Eight bytes of length, a header
//! of that length in JSON, the numbers. The numbers are not looked at.

use super::error::{CheckpointError, Problem};
use super::folder::Folder;
use super::json::JsonObject;
use super::stored::{SourceFile, StoredTensor, StoredTensors};
use gatefold_quant::DynFormat;
use safetensors::tensor::Metadata;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of the length before a header.
const LENGTH_BYTES: u64 = 8;

/// The most that the format's own library reads.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// Reads the headers of safetensors files.
///
/// # Errors
/// If a file is damaged, or two of them hold a tensor of the same name.
pub fn read(paths: &[&Path]) -> Result<StoredTensors, CheckpointError> {
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

/// Reads the headers of a model's files in a folder: the one `STEM.safetensors`, or those that
/// `STEM.safetensors.index.json` lists, or all whose names are `accepted`. `None` where there is no
/// such file.
///
/// # Errors
/// As [`read`]; and if a file of the index is missing, or has not the tensors that it should have.
pub fn read_folder(
    folder: &Folder,
    stem: &str,
    accepted: impl Fn(&str) -> bool,
) -> Result<Option<StoredTensors>, CheckpointError> {
    let single = format!("{stem}.safetensors");
    if folder.has(&single) {
        return read(&[&folder.file(&single)]).map(Some);
    }
    let index = format!("{stem}.safetensors.index.json");
    if folder.has(&index) {
        return read_index(folder, &index).map(Some);
    }
    let paths = folder.files(accepted);
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    if paths.is_empty() { Ok(None) } else { read(&paths).map(Some) }
}

/// Each tensor is where the index says; tensors that it leaves out are where they are.
fn read_index(folder: &Folder, index: &str) -> Result<StoredTensors, CheckpointError> {
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

type FileTensors = (Arc<SourceFile>, Vec<(String, StoredTensor)>);

/// One file and its tensors.
fn read_file(path: &Path) -> Result<FileTensors, CheckpointError> {
    let damaged = |problem: String| Problem::Damaged(problem).at(path);
    let file = SourceFile::open(path)?;
    if file.n_bytes < LENGTH_BYTES {
        return Err(damaged(format!("it has {} bytes", file.n_bytes)));
    }
    let mut length = [0; LENGTH_BYTES as usize];
    file.read_at(0, &mut length)?;
    let header_bytes = u64::from_le_bytes(length);
    let most = MOST_HEADER_BYTES.min(file.n_bytes - LENGTH_BYTES);
    if header_bytes > most {
        return Err(damaged(format!(
            "its header claims {header_bytes} bytes, and at most {most} can be"
        )));
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_at(LENGTH_BYTES, &mut header)?;
    // Checks that offsets fit the shapes, leave no gaps and do not overlap.
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| damaged(format!("its header: {error}")))?;

    let data_start = LENGTH_BYTES + header_bytes;
    let data_bytes = file.n_bytes - data_start;
    let stored = metadata.offset_keys().into_iter().map(|name| {
        let info = metadata.info(&name).expect("the name is one of its own");
        let (start, end) = info.data_offsets;
        if end as u64 > data_bytes {
            return Err(Problem::Truncated { tensor: name }.at(path));
        }
        let type_name = format!("{:?}", info.dtype);
        let tensor = StoredTensor {
            format: DynFormat::by_name(&type_name).ok_or(type_name),
            shape: info.shape.clone(),
            file: file.clone(),
            offset: data_start + start as u64,
        };
        Ok((name, tensor))
    });
    let stored = stored.collect::<Result<_, _>>()?;
    Ok((file, stored))
}
