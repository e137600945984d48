//! Metadata: keys with typed values.

use super::error::{GgufError, Problem};
use super::value::{Array, Value};
use std::path::{Path, PathBuf};

/// The key with which a file says what kind of model it holds.
pub const ARCHITECTURE_KEY: &str = "general.architecture";

/// The key with which a file says of which type most of its tensors are.
pub const FILE_TYPE_KEY: &str = "general.file_type";

/// The key with which a file says at which multiples its tensors begin.
pub(super) const ALIGNMENT_KEY: &str = "general.alignment";

/// Whether a key says how one file is laid out, and holds for no other: alignment, number of parts.
pub fn is_of_one_file(key: &str) -> bool {
    key == ALIGNMENT_KEY || key.starts_with("split.")
}

/// The keys of a GGUF and their values, in file order.
///
/// A getter returns `Ok(None)` where the key is absent, and an error that names the file, the key,
/// the type found and the type wanted where the value has another type.
#[derive(Clone, Debug)]
pub struct Metadata {
    path: PathBuf,
    entries: Vec<(String, Value)>,
}

impl Default for Metadata {
    fn default() -> Metadata {
        Metadata::new()
    }
}

impl Metadata {
    /// No keys yet: for a file to be written.
    pub fn new() -> Metadata {
        Metadata::of_file(Path::new("(new metadata)"), Vec::new())
    }

    /// The keys of a file, which are distinct.
    pub(super) fn of_file(path: &Path, entries: Vec<(String, Value)>) -> Metadata {
        Metadata { path: path.to_path_buf(), entries }
    }

    /// Sets a key, in its old place if it was there, else behind the others.
    pub fn set(&mut self, key: impl Into<String>, value: Value) {
        let key = key.into();
        match self.entries.iter_mut().find(|(existing, _)| *existing == key) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key, value)),
        }
    }

    /// Keeps the keys for which `keep` says so.
    pub fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.entries.retain(|(key, _)| keep(key));
    }

    /// Keys and values, in file order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of a key, whatever its type.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.iter().find(|(existing, _)| *existing == key).map(|(_, value)| value)
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// A string.
    pub fn str(&self, key: &str) -> Result<Option<&str>, GgufError> {
        self.typed(key, "a string", |value| match value {
            Value::String(string) => Some(string.as_str()),
            _ => None,
        })
    }

    /// An integer of any type that is not negative.
    pub fn u64(&self, key: &str) -> Result<Option<u64>, GgufError> {
        self.typed(key, "a non-negative integer", |value| value.integer()?.try_into().ok())
    }

    /// A number of any type.
    pub fn f32(&self, key: &str) -> Result<Option<f32>, GgufError> {
        self.typed(key, "a number", |value| Some(value.float()? as f32))
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Result<Option<bool>, GgufError> {
        self.typed(key, "a bool", |value| match value {
            Value::Bool(bool) => Some(*bool),
            _ => None,
        })
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<Option<&[String]>, GgufError> {
        self.typed(key, "an array of strings", |value| match value {
            Value::Array(Array::String(strings)) => Some(strings.as_slice()),
            _ => None,
        })
    }

    /// An array of numbers of any type.
    pub fn f32s(&self, key: &str) -> Result<Option<Vec<f32>>, GgufError> {
        self.typed(key, "an array of numbers", |value| match value {
            Value::Array(array) => array.floats(),
            _ => None,
        })
    }

    /// An array of integers of any type, none of them above `i64::MAX`.
    pub fn i64s(&self, key: &str) -> Result<Option<Vec<i64>>, GgufError> {
        self.typed(key, "an array of integers", |value| match value {
            Value::Array(array) => array.integers(),
            _ => None,
        })
    }

    /// What a getter returned for `key`, or an error where the key is absent:
    /// `metadata.required("llama.block_count", metadata.u64("llama.block_count"))`.
    pub fn required<T>(
        &self,
        key: &str,
        value: Result<Option<T>, GgufError>,
    ) -> Result<T, GgufError> {
        value?.ok_or_else(|| Problem::MissingKey { key: key.into() }.at(&self.path))
    }

    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &'static str,
        get: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, GgufError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let typed = get(value).ok_or_else(|| {
            let found = match value.integer() {
                Some(integer) => format!("{integer} ({})", value.type_name()),
                None => value.type_name(),
            };
            Problem::MistypedKey { key: key.into(), found, wanted }.at(&self.path)
        });
        typed.map(Some)
    }
}
