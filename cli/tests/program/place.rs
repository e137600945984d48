//! A folder with a model that converses.

use crate::batches::model_with;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Writes each message in brackets.
const TEMPLATE: &str = "{% for m in messages %}[{{ m.role[0] }}{{ m.content }}]{% endfor %}";

/// A folder with a model that has a byte for a token, more or less, and writes messages in brackets.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.path("model.gguf"), model_with("model", Some(TEMPLATE))).unwrap();
        place
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn model(&self) -> String {
        self.path("model.gguf").to_str().unwrap().to_owned()
    }
}
