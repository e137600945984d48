//! The small files of a checkpoint, read whole and within bounds.

use super::error::VocabularyProblem;
use crate::checkpoint::error::{CheckpointError, Problem};
use crate::checkpoint::json::JsonObject;
use crate::checkpoint::stored::{SourceFile, files_of, is_there};
use serde_json::Value;
use std::path::Path;

/// The largest file that defines a tokenizer; the largest published has half of that.
const MOST_BYTES: u64 = 64 << 20;

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
        is_there(&self.path.join(name))
    }

    /// The names of what lies in a folder below (`""` is this one), sorted; none if there is no
    /// such folder.
    pub(super) fn names(&self, below: &str) -> Result<Vec<String>, CheckpointError> {
        if !self.has(below) {
            return Ok(vec![]);
        }
        let paths = files_of(&self.path.join(below), |_| true)?;
        Ok(paths.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    /// The bytes of a file, if it is there.
    pub(super) fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, CheckpointError> {
        if !self.has(name) {
            return Ok(None);
        }
        let file = SourceFile::open(&self.path.join(name))?;
        if file.n_bytes > MOST_BYTES {
            let (n_bytes, most) = (file.n_bytes, MOST_BYTES);
            return Err(self.problem_of(name, VocabularyProblem::TooLarge { n_bytes, most }));
        }
        let mut bytes = vec![0; file.n_bytes as usize];
        file.read_at(0, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// The text of a file, if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, CheckpointError> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        let text = String::from_utf8(bytes);
        text.map(Some).map_err(|_| self.problem_of(name, VocabularyProblem::NotText))
    }

    /// A file of settings; an absent one sets nothing.
    pub(super) fn settings(&self, name: &str) -> Result<JsonObject, CheckpointError> {
        JsonObject::read_if_there(&self.path.join(name))
    }
}

/// The spelling of the token that a key names.
pub(super) fn token<'s>(
    settings: &'s JsonObject,
    key: &str,
) -> Result<Option<&'s str>, CheckpointError> {
    settings.typed(key, "a token", spelling)
}

/// How settings name a token: by a string, or by an object with that and more.
pub(super) fn spelling(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// The ids of a key: one or a list of them. Negative ones stand for none.
pub(super) fn ids(settings: &JsonObject, key: &str) -> Result<Vec<u64>, CheckpointError> {
    let ids = settings.typed(key, "an id or a list of ids", |value| {
        let ids = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let id = |id: &Value| id.as_u64().map(Some).or(id.as_i64().map(|_| None));
        ids.iter().map(id).collect::<Option<Vec<_>>>()
    })?;
    Ok(ids.into_iter().flatten().flatten().collect())
}
