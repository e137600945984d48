//! A checkpoint's folder: what lies in it, listed once, and its small files, read whole and within
//! bounds.

use super::error::{CheckpointError, Problem};
use super::json::JsonObject;
use super::stored::SourceFile;
use std::fs;
use std::path::{Path, PathBuf};

/// The largest file that defines a tokenizer; the largest published has half of that.
const MOST_BYTES: u64 = 64 << 20;

/// A checkpoint's folder, and the names of what lay in it when it was opened.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    /// Sorted. Names that are not UTF-8 are no checkpoint's.
    names: Vec<String>,
}

impl Folder {
    /// Lists the folder at `path`.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path) -> Result<Folder, CheckpointError> {
        let read = || {
            let entries = fs::read_dir(path)?.collect::<Result<Vec<_>, _>>()?;
            Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()))
        };
        let mut names: Vec<String> =
            read().map_err(|error| Problem::Read(error).at(path))?.collect();
        names.sort();
        Ok(Folder { path: path.to_path_buf(), names })
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether something in it has this name, be it a link to nothing or what may not be looked at:
    /// opening it then says what is wrong.
    pub fn has(&self, name: &str) -> bool {
        self.names.iter().any(|there| there == name)
    }

    /// The names of what lies in it, sorted.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The paths of the files whose names are `wanted`, in the order of their names.
    pub fn files(&self, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
        self.names().filter(|name| wanted(name)).map(|name| self.file(name)).collect()
    }

    /// The folder of this name in it, if it is there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn below(&self, name: &str) -> Result<Option<Folder>, CheckpointError> {
        self.has(name).then(|| Folder::open(&self.file(name))).transpose()
    }

    /// The name of the model: that of the folder, or for one in the cache of Hugging Face's hub,
    /// `models--OWNER--NAME/snapshots/HASH`, the name in it.
    pub fn model_name(&self) -> Option<String> {
        let folder = self.path.canonicalize().ok()?;
        let mut names = folder.iter().rev().map(|name| name.to_string_lossy());
        let name = names.next()?;
        if names.next()? == "snapshots" {
            let of_model = names.next()?;
            return Some(of_model.rsplit("--").next()?.to_owned());
        }
        Some(name.into_owned())
    }

    /// What is wrong with the folder itself.
    pub(super) fn problem(&self, problem: impl Into<Problem>) -> CheckpointError {
        problem.into().at(&self.path)
    }

    /// What is wrong with a file in it.
    pub(super) fn problem_of(&self, name: &str, problem: impl Into<Problem>) -> CheckpointError {
        problem.into().at(&self.file(name))
    }

    /// The bytes of a file, if it is there.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, CheckpointError> {
        if !self.has(name) {
            return Ok(None);
        }
        let file = SourceFile::open(&self.file(name))?;
        if file.n_bytes > MOST_BYTES {
            let (n_bytes, most) = (file.n_bytes, MOST_BYTES);
            return Err(self.problem_of(name, Problem::TooLarge { n_bytes, most }));
        }
        let mut bytes = vec![0; file.n_bytes as usize];
        file.read_at(0, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// The text of a file, if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, CheckpointError> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|_| self.problem_of(name, Problem::NotText))
    }

    /// A file of settings; an absent one sets nothing.
    pub(super) fn settings(&self, name: &str) -> Result<JsonObject, CheckpointError> {
        match self.has(name) {
            true => JsonObject::read(&self.file(name)),
            false => Ok(JsonObject::empty(&self.file(name))),
        }
    }
}
