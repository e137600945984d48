//! JSON files: objects whose values are asked for by key and type.

use super::error::{CheckpointError, Problem};
use super::stored::SourceFile;
use crate::architecture::MAX_SIZE;
use crate::text::shortened;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A JSON object of a file.
#[derive(Debug)]
pub struct JsonObject {
    path: PathBuf,
    /// What leads to it from the top: empty, or `moe.`.
    within: String,
    members: Map<String, Value>,
}

/// Beyond any index or configuration. Values take up to ninety times their text in memory.
const MOST_BYTES: u64 = 2 << 20;

impl JsonObject {
    /// Reads a file that holds one object.
    ///
    /// # Errors
    /// If it cannot be read, is absurdly large, or holds something else.
    pub fn read(path: &Path) -> Result<JsonObject, CheckpointError> {
        let file = SourceFile::open(path)?;
        if file.n_bytes > MOST_BYTES {
            let n_bytes = file.n_bytes;
            let problem = format!("it has {n_bytes} bytes, and at most {MOST_BYTES} are sensible");
            return Err(Problem::Json(problem).at(path));
        }
        let mut text = vec![0; file.n_bytes as usize];
        file.read_at(0, &mut text)?;
        let members = serde_json::from_slice(&text)
            .map_err(|error| Problem::Json(shortened(&error.to_string())).at(path))?;
        Ok(JsonObject { path: path.to_path_buf(), within: String::new(), members })
    }

    /// What the file at `path` says that is not there: nothing.
    pub fn empty(path: &Path) -> JsonObject {
        JsonObject { path: path.to_path_buf(), within: String::new(), members: Map::new() }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.members.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key, unless it is absent or null.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.members.get(key).filter(|value| !value.is_null())
    }

    /// An object within this one.
    ///
    /// # Errors
    /// If the value is something else; so for the other getters.
    pub fn object(&self, key: &str) -> Result<Option<JsonObject>, CheckpointError> {
        let members = self.typed(key, "an object", |value| value.as_object().cloned())?;
        Ok(members.map(|members| JsonObject {
            path: self.path.clone(),
            within: format!("{}{key}.", self.within),
            members,
        }))
    }

    /// Text.
    pub fn str(&self, key: &str) -> Result<Option<&str>, CheckpointError> {
        self.typed(key, "a string", Value::as_str)
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A size of a model, from 1 to 2^30.
    pub fn size(&self, key: &str) -> Result<Option<usize>, CheckpointError> {
        self.typed(key, "a size from 1 to 2^30", |value| {
            let size = value.as_u64().filter(|size| (1..=MAX_SIZE).contains(size))?;
            usize::try_from(size).ok()
        })
    }

    /// A number above 0 that an f32 can hold.
    pub fn positive(&self, key: &str) -> Result<Option<f32>, CheckpointError> {
        self.typed(key, "a positive number", |value| {
            let value = value.as_f64()? as f32;
            (value > 0.0 && value.is_finite()).then_some(value)
        })
    }

    /// What a getter returned for `key`, or an error where the key is absent; `what` says what it
    /// is for: `the number of layers`.
    pub fn required<T>(
        &self,
        key: &str,
        what: &'static str,
        value: Result<Option<T>, CheckpointError>,
    ) -> Result<T, CheckpointError> {
        let key = format!("{}{key}", self.within);
        value?.ok_or_else(|| Problem::MissingKey { key, what }.at(&self.path))
    }

    /// A value that cannot be used.
    pub fn refuse(&self, key: &str, expected: impl Into<String>) -> CheckpointError {
        let found = shortened(&self.members.get(key).unwrap_or(&Value::Null).to_string());
        let key = format!("{}{key}", self.within);
        Problem::Key { key, found, expected: expected.into() }.at(&self.path)
    }

    /// What `get` makes of the value of a key; `expected` says what that must be.
    pub(super) fn typed<'a, T>(
        &'a self,
        key: &str,
        expected: &str,
        get: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, CheckpointError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        get(value).map(Some).ok_or_else(|| self.refuse(key, expected))
    }
}
