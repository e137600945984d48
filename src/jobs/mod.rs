//! Work that outlives the process: results are appended line by line to a file, and a run that is
//! started again skips what is in it.

use serde_json::Value;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Identifies a piece of work by everything that its result depends on: SHA-256 over labelled
/// parts, such as text, model, prompt and sampling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of labelled parts; neither labels nor parts can run into each other.
    pub fn of(_parts: &[(&str, &[u8])]) -> Key {
        unimplemented!()
    }

    /// As text: 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why results cannot be kept.
#[derive(Debug, Error)]
pub enum JobsError {
    /// The file cannot be read or written.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong and what to do.
        problem: String,
    },
}

/// A file of results, a JSON object per line, which only ever grows by whole lines that have
/// reached the disk.
pub struct Results {}

impl Results {
    /// Opens the file or makes it, for this process alone. A last line that was torn by a crash is
    /// cut off. `keep` is asked of each line, in order, whether it still holds; if one does not, the
    /// file is written anew without those (beside, and renamed).
    ///
    /// # Errors
    /// If the file cannot be read or written, has lines that are not results, or another run has it.
    pub fn open(_path: &Path, _keep: impl FnMut(&Value) -> bool) -> Result<Results, JobsError> {
        unimplemented!()
    }

    /// Appends a result and waits until the disk has it. After an error the file is as it was.
    ///
    /// # Errors
    /// If the disk is full, say.
    pub fn append(&mut self, _result: &Value) -> Result<(), JobsError> {
        unimplemented!()
    }
}
