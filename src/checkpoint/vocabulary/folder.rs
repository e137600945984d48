//! The small files of a checkpoint, read whole and within bounds.

use super::error::VocabularyProblem;
use crate::checkpoint::error::{CheckpointError, Problem};
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The largest file that defines a tokenizer; the largest published has half of that.
const TOKENIZER_BYTES: u64 = 64 << 20;

/// The largest file of settings, whose values take many times their text in memory.
const SETTINGS_BYTES: u64 = 8 << 20;

/// What Git LFS writes at the start of a pointer.
const LFS: &[u8] = b"version https://git-lfs";

/// A checkpoint's folder.
#[derive(Clone, Copy)]
pub(super) struct Folder<'a> {
    path: &'a Path,
}

impl<'a> Folder<'a> {
    pub(super) fn new(path: &'a Path) -> Folder<'a> {
        Folder { path }
    }

    /// What is wrong with the folder itself.
    pub(super) fn problem(&self, problem: VocabularyProblem) -> CheckpointError {
        Problem::from(problem).at(self.path)
    }

    /// What is wrong with a file in it.
    pub(super) fn problem_of(&self, name: &str, problem: VocabularyProblem) -> CheckpointError {
        Problem::from(problem).at(&self.path.join(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    /// The names of what lies in a folder below (`""` is this one), sorted; none if there is no
    /// such folder.
    pub(super) fn names(&self, below: &str) -> Result<Vec<String>, CheckpointError> {
        let path = self.path.join(below);
        let entries = match fs::read_dir(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
            entries => entries.map_err(|error| Problem::Read(error).at(&path))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| Problem::Read(error).at(&path))?;
            names.extend(entry.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    /// The bytes of a file that defines a tokenizer, if it is there.
    pub(super) fn tokenizer_file(&self, name: &str) -> Result<Option<Vec<u8>>, CheckpointError> {
        self.read(name, TOKENIZER_BYTES)
    }

    /// The text of a file, if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, CheckpointError> {
        let Some(bytes) = self.read(name, SETTINGS_BYTES)? else { return Ok(None) };
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|_| self.problem_of(name, VocabularyProblem::NotText))
    }

    /// A file of settings; an absent one sets nothing.
    pub(super) fn settings(&self, name: &str) -> Result<Settings, CheckpointError> {
        let path = self.path.join(name);
        let Some(bytes) = self.read(name, SETTINGS_BYTES)? else {
            return Ok(Settings { path, values: Map::new() });
        };
        let values = serde_json::from_slice(&bytes);
        let values =
            values.map_err(|error| Problem::from(VocabularyProblem::json(&error)).at(&path))?;
        Ok(Settings { path, values })
    }

    fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, CheckpointError> {
        let path = self.path.join(name);
        let metadata = match fs::metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            metadata => metadata.map_err(|error| Problem::Read(error).at(&path))?,
        };
        if !metadata.is_file() {
            return Err(self.problem_of(name, VocabularyProblem::NotAFile));
        }
        let n_bytes = metadata.len();
        if n_bytes > most {
            return Err(self.problem_of(name, VocabularyProblem::TooLarge { n_bytes, most }));
        }
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(most).read_to_end(&mut bytes));
        read.map_err(|error| Problem::Read(error).at(&path))?;
        match bytes.starts_with(LFS) {
            true => Err(self.problem_of(name, VocabularyProblem::LfsPointer)),
            false => Ok(Some(bytes)),
        }
    }
}

/// The values of a JSON file, each absent where it is `null`.
pub(super) struct Settings {
    path: PathBuf,
    values: Map<String, Value>,
}

impl Settings {
    /// Keys and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn bool(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    pub(super) fn str(&self, key: &str) -> Result<Option<&str>, CheckpointError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// The spelling of a token: a string, or an object that describes it.
    pub(super) fn token(&self, key: &str) -> Result<Option<&str>, CheckpointError> {
        self.typed(key, "a token", spelling)
    }

    /// One id or a list of them. Negative ones stand for none.
    pub(super) fn ids(&self, key: &str) -> Result<Vec<u64>, CheckpointError> {
        let ids = self.typed(key, "an id or a list of ids", |value| {
            let ids = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            let id = |id: &Value| id.as_u64().map(Some).or(id.as_i64().map(|_| None));
            ids.iter().map(id).collect::<Option<Vec<_>>>()
        })?;
        Ok(ids.into_iter().flatten().flatten().collect())
    }

    /// What is wrong with this file.
    pub(super) fn problem(&self, problem: VocabularyProblem) -> CheckpointError {
        Problem::from(problem).at(&self.path)
    }

    /// The error of a value that is not what it should be.
    pub(super) fn mistyped(&self, key: &str, wanted: &'static str) -> CheckpointError {
        let found = match self.values.get(key) {
            None | Some(Value::Null) => "nothing",
            Some(Value::Bool(_)) => "a truth value",
            Some(Value::Number(_)) => "a number",
            Some(Value::String(_)) => "a string",
            Some(Value::Array(_)) => "a list",
            Some(Value::Object(_)) => "an object",
        };
        self.problem(VocabularyProblem::Mistyped { key: key.to_owned(), found, wanted })
    }

    fn typed<'s, T>(
        &'s self,
        key: &str,
        wanted: &'static str,
        get: impl FnOnce(&'s Value) -> Option<T>,
    ) -> Result<Option<T>, CheckpointError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        get(value).map(Some).ok_or_else(|| self.mistyped(key, wanted))
    }
}

/// How settings name a token: by a string, or by an object with that and more.
pub(super) fn spelling(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}
