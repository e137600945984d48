//! Where the output goes: the names of its files, and what must not be in their places.

use super::QuantizeError;
use crate::checkpoint::Checkpoint;
use crate::files::{self, ClaimError, FileId, folder_of, kind_of, part_of, with_suffix};
use crate::gguf::part_path;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf, is_separator};

/// The file with the number `idx`, from 0, of `n_files`, when it is finished.
pub fn file_path(path: &Path, idx: usize, n_files: usize) -> PathBuf {
    match n_files {
        1 => path.to_path_buf(),
        _ => part_path(path, idx, n_files),
    }
}

/// The same file until then.
pub fn partial_path(path: &Path, idx: usize, n_files: usize) -> PathBuf {
    part_of(&file_path(path, idx, n_files))
}

/// The journal of all files.
pub fn journal_path(path: &Path) -> PathBuf {
    with_suffix(path, ".part.journal")
}

/// Checks that `path` can be a file in a folder that is there.
pub fn check_folder(path: &Path) -> Result<(), QuantizeError> {
    if path.file_name().is_none() || ends_like_a_folder(path) {
        let what = "the name of a folder";
        return Err(ClaimError::NotAFile { path: path.into(), what }.into());
    }
    match folder_of(path) {
        folder if folder.is_dir() => Ok(()),
        folder => Err(QuantizeError::NoFolder { path: folder.into() }),
    }
}

/// Whether a path ends with a separator, which Rust's paths pass over.
fn ends_like_a_folder(path: &Path) -> bool {
    let last = path.as_os_str().as_encoded_bytes().last();
    last.is_some_and(|&byte| is_separator(byte.into()))
}

/// Checks that what is at `path`, if anything is, may be replaced by a file.
pub fn check_replaceable(checkpoint: &Checkpoint, path: &Path) -> Result<(), QuantizeError> {
    let Ok(there) = fs::symlink_metadata(path) else { return Ok(()) };
    if !there.is_file() {
        return Err(ClaimError::NotAFile { path: path.into(), what: kind_of(&there) }.into());
    }
    let there = FileId::at(path).map_err(QuantizeError::output(path))?;
    let weights = checkpoint.files.iter().map(|file| file.path.clone());
    let mut inputs = weights.chain(companions(checkpoint));
    match inputs.any(|input| FileId::at(&input).is_ok_and(|input| input == there)) {
        true => Err(QuantizeError::IsInput { path: path.into() }),
        false => Ok(()),
    }
}

/// The files beside the weights, where the checkpoint is a folder: configuration, tokenizer and
/// whatever else belongs to it. Only what conversions write may be from one.
fn companions(checkpoint: &Checkpoint) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(&checkpoint.path).into_iter().flatten().flatten();
    let is_written = |path: &Path| {
        let extension = path.extension().and_then(OsStr::to_str);
        matches!(extension, Some("gguf" | "part" | "journal"))
    };
    entries.map(|entry| entry.path()).filter(move |path| !is_written(path))
}

/// Checks that none of the files is there, unless they may be overwritten.
pub fn check_absent<'a>(
    mut paths: impl Iterator<Item = &'a PathBuf>,
    overwrite: bool,
) -> Result<(), QuantizeError> {
    match paths.find(|path| path.symlink_metadata().is_ok()).filter(|_| !overwrite) {
        Some(path) => Err(QuantizeError::Exists { path: path.clone() }),
        None => Ok(()),
    }
}

/// Checks that `needed` bytes fit into the folder's disk.
pub fn check_space(folder: &Path, needed: u64) -> Result<(), QuantizeError> {
    let available = fs4::available_space(folder).map_err(QuantizeError::output(folder))?;
    match needed <= available {
        true => Ok(()),
        false => Err(QuantizeError::Space { path: folder.into(), needed, available }),
    }
}

/// Puts the names in the folder of `path` on the disk.
pub fn sync_folder(path: &Path) -> Result<(), QuantizeError> {
    files::sync_folder(path).map_err(QuantizeError::output(folder_of(path)))
}
