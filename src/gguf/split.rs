//! Models split into several files, `NAME-00001-of-00003.gguf` and so on.

use super::error::{GgufError, Problem};
use super::metadata::ARCHITECTURE_KEY;
use super::{File, Gguf};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub(super) const IDX_KEY: &str = "split.no";
pub(super) const COUNT_KEY: &str = "split.count";
pub(super) const TENSORS_KEY: &str = "split.tensors.count";

/// Parts of the most finely split model; five digits have no room for more.
const MOST_PARTS: u64 = 99_999;

/// What a part says about its place.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Numbering {
    /// From 0.
    idx: u64,
    count: u64,
    /// Tensors in all parts.
    n_tensors: Option<u64>,
}

impl Numbering {
    /// Of a part; `None` for a file that is a whole model.
    pub(super) fn of(file: &File) -> Result<Option<Numbering>, GgufError> {
        let metadata = &file.metadata;
        let Some(count @ 2..) = metadata.u64(COUNT_KEY)? else { return Ok(None) };
        let idx = metadata.required(IDX_KEY, metadata.u64(IDX_KEY))?;
        if count > MOST_PARTS || idx >= count {
            return Err(Problem::Split(format!(
                "says it is part {idx}, counted from 0, of {count}; the file is damaged, download it again"
            ))
            .at(&file.part.path));
        }
        Ok(Some(Numbering { idx, count, n_tensors: metadata.u64(TENSORS_KEY)? }))
    }
}

/// Opens the other parts of a model and puts all together.
pub(super) fn open_all(given: File, numbering: Numbering) -> Result<Gguf, GgufError> {
    let Numbering { idx: given_idx, count, n_tensors } = numbering;
    let given_path = given.part.path.clone();
    let says = format!("is part {} of {count}", given_idx + 1);
    let wrong = |what: String| Problem::Split(format!("{says}, {what}")).at(&given_path);

    let given_suffix = suffix(given_idx, count);
    let Some(stem) = stem(&given_path, &given_suffix) else {
        return Err(wrong(format!(
            "so its name must be UTF-8 and end in {given_suffix} like those beside it; rename it"
        )));
    };
    let mut given = Some(given);
    let mut files = Vec::new();
    for idx in 0..count {
        let path = given_path.with_file_name(format!("{stem}{}", suffix(idx, count)));
        let file = match given.take_if(|_| idx == given_idx) {
            Some(file) => file,
            None if !path.exists() => {
                let path = path.display();
                return Err(wrong(format!("but {path} is missing; put all parts into one folder")));
            }
            None => File::open(&path)?,
        };
        let expected = Numbering { idx, count, n_tensors };
        check_numbering(&file, expected)?;
        files.push(file);
    }
    let found: usize = files.iter().map(|file| file.tensors.len()).sum();
    if let Some(expected) = n_tensors.filter(|&expected| expected != found as u64) {
        return Err(wrong(format!(
            "which together have {found} tensors, not the {expected} that {TENSORS_KEY} promises; download the parts again"
        )));
    }
    check_architecture(&files)?;
    Gguf::of_files(files)
}

/// Where a part of a model lies that would as a whole be at `path`: of `model.gguf`, part 0 of 2 is
/// `model-00001-of-00002.gguf`.
pub fn part_path(path: &Path, idx: usize, count: usize) -> PathBuf {
    let stem = match path.extension() {
        Some(extension) if extension == "gguf" => path.file_stem(),
        _ => path.file_name(),
    };
    let mut name = stem.map_or_else(OsString::new, OsString::from);
    name.push(suffix(idx as u64, count as u64));
    path.with_file_name(name)
}

/// How the name of a part ends.
fn suffix(idx: u64, count: u64) -> String {
    format!("-{:05}-of-{count:05}.gguf", idx + 1)
}

/// The name of a part without its suffix, if it has that.
fn stem<'a>(path: &'a Path, suffix: &str) -> Option<&'a str> {
    path.file_name()?.to_str()?.strip_suffix(suffix)
}

fn check_numbering(file: &File, expected: Numbering) -> Result<(), GgufError> {
    let found = Numbering::of(file)?;
    if found == Some(expected) {
        return Ok(());
    }
    let words = |numbering: Option<Numbering>| match numbering {
        Some(Numbering { idx, count, n_tensors: Some(n_tensors) }) => {
            format!("part {} of {count} with {n_tensors} tensors in all", idx + 1)
        }
        Some(Numbering { idx, count, n_tensors: None }) => format!("part {} of {count}", idx + 1),
        None => "a whole model".into(),
    };
    let (found, expected) = (words(found), words(Some(expected)));
    Err(Problem::Split(format!(
        "says it is {found}, and by its name and the other parts it should be {expected}; download the parts again"
    ))
    .at(&file.part.path))
}

/// Parts after the first may leave the architecture out; those that name one name the same.
fn check_architecture(files: &[File]) -> Result<(), GgufError> {
    let mut first: Option<(&str, &File)> = None;
    for file in files {
        let Some(found) = file.metadata.str(ARCHITECTURE_KEY)? else { continue };
        let (expected, other) = *first.get_or_insert((found, file));
        if found != expected {
            let other = other.part.path.display();
            return Err(Problem::Split(format!(
                "is of architecture {found:?}, and {other} of {expected:?}; put parts of one model together"
            ))
            .at(&file.part.path));
        }
    }
    Ok(())
}
