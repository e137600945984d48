//! Where results go.

use super::error::JobsError;
use super::key::Key;
use super::results::{Results, lines};
use serde::Serialize;
use std::io::{self, Write};

/// Where results go.
#[derive(Debug)]
pub enum Sink {
    /// To a file, which another run goes on with.
    File(Results),
    /// To stdout.
    Stdout,
}

impl Sink {
    /// Whether the result of this is there from an earlier run.
    pub fn has(&self, key: &Key) -> bool {
        match self {
            Sink::File(results) => results.has(key),
            Sink::Stdout => false,
        }
    }

    /// Appends results.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn append_all(&mut self, results: &[impl Serialize]) -> Result<(), JobsError> {
        match self {
            Sink::File(file) => file.append_all(results),
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                let write = out.write_all(&lines(results)).and_then(|()| out.flush());
                write.map_err(JobsError::Stdout)
            }
        }
    }
}
