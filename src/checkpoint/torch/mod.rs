//! PyTorch's zip files (`.pth`, `.pt`), without running what is in them.
//!
//! Such a file is a zip archive of uncompressed entries (`zip`): `NAME/data.pkl`, a pickle that
//! says what there is, and one entry `NAME/data/KEY` per storage, the numbers of one or more
//! tensors. Pickles are programs; `opcode` and `machine` understand as much of them as it
//! takes to describe tensors, with the classes of `classes`, and refuse the rest by name.
//! `tensors` holds what comes out against the extents of the entries.
//!
//! The format: `torch/serialization.py` and `caffe2/serialize/inline_container.h` of PyTorch.

mod classes;
mod cursor;
mod machine;
mod opcode;
mod tensors;
mod zip;

pub use super::error::TorchError;

use super::error::CheckpointError;
use super::shards::{self, FileTensors};
use super::stored::{SourceFile, StoredTensors};
use std::path::Path;
use std::sync::Arc;

/// That of Mixtral 8x7B takes less than 200 KB.
const MOST_PICKLE_BYTES: u64 = 1 << 24;

/// Finds the tensors of PyTorch zip files. Only their directories, their headers and their pickles
/// are read.
///
/// # Errors
/// If a file is damaged, asks for a class or an opcode outside of what tensors need, or two files
/// hold a tensor of the same name.
pub fn read(paths: &[&Path]) -> Result<StoredTensors, CheckpointError> {
    shards::read(paths, read_file)
}

/// One file and its tensors.
pub(super) fn read_file(path: &Path) -> Result<FileTensors, CheckpointError> {
    let file = &SourceFile::open(path)?;
    let at = |error: TorchError| error.at(&file.path);
    recognize(file)?;
    let directory = zip::Directory::read(file)?;
    let root = root(&directory).map_err(at)?;
    let entries = directory.entries(file)?;
    let entry = |name: &str| entries.get(&*format!("{root}/{name}"));

    if let Some(order) = entry("byteorder") {
        let order = read_entry(file, *order, "bytes in its byteorder", 64)?;
        if order != b"little" {
            return Err(at(TorchError::ByteOrder(String::from_utf8_lossy(&order).into())));
        }
    }
    let pickle = entry("data.pkl").ok_or_else(|| at(TorchError::DataPkl("no")))?;
    let pickle = read_entry(file, *pickle, "bytes in its data.pkl", MOST_PICKLE_BYTES)?;
    let (values, result) = machine::run(&pickle).map_err(at)?;

    let mut found = Vec::new();
    for (name, view) in tensors::named(&values, result).map_err(at)? {
        let wrong = |wrong| at(TorchError::Tensor { tensor: name.into(), wrong });
        let key = view.storage.key;
        let entry = entry(&format!("data/{key}")).ok_or_else(|| {
            wrong(format!("is in storage {key}, which the file lacks; download it again"))
        })?;
        let tensor = tensors::locate(view, *entry, file).map_err(wrong)?;
        found.push((name.to_owned(), tensor));
    }
    Ok((Arc::clone(file), found))
}

/// Tells zip files from what else there is under the names of PyTorch's files.
fn recognize(file: &SourceFile) -> Result<(), CheckpointError> {
    /// The pickled number with which `torch.save` began before version 1.6.
    const LEGACY: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";
    let mut start = [0; 15];
    let n_bytes = start.len().min(file.n_bytes as usize);
    file.read_at(0, &mut start[..n_bytes])?;
    Err(TorchError::NotZip(match start {
        _ if start.starts_with(&zip::LOCAL_HEADER) => return Ok(()),
        _ if start == *LEGACY => {
            "PyTorch before 1.6 wrote it; if you trust it, load it with torch.load(..., weights_only=True) and save it again with torch.save"
        }
        [0x80, 2..=5, ..] => {
            "it is a bare pickle, a program that may do anything; get the model as safetensors"
        }
        _ => "it does not begin as one; check that the download is complete and the right file",
    })
    .at(&file.path))
}

/// The folder that all entries are in.
fn root(directory: &zip::Directory) -> Result<&str, TorchError> {
    let mut roots = directory.names().filter_map(|name| name.strip_suffix("/data.pkl"));
    let root = roots.next().ok_or(TorchError::DataPkl("no"))?;
    if roots.next().is_some_and(|other| other != root) {
        return Err(TorchError::DataPkl("more than one"));
    }
    let mut inner = directory.names().filter_map(|name| name.strip_prefix(root)?.strip_prefix('/'));
    match inner.any(|name| name == "constants.pkl" || name.starts_with("code/")) {
        true => Err(TorchError::TorchScript),
        false => Ok(root),
    }
}

fn read_entry(
    file: &SourceFile,
    entry: zip::Entry,
    item: &'static str,
    most: u64,
) -> Result<Vec<u8>, CheckpointError> {
    if entry.n_bytes > most {
        return Err(TorchError::TooMany { item, found: entry.n_bytes, most }.at(&file.path));
    }
    let mut bytes = vec![0; entry.n_bytes as usize];
    file.read_at(entry.start, &mut bytes)?;
    Ok(bytes)
}
