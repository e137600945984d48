//! What prompts begin with, kept from run to run.

use super::prefix_file::{PrefixFileError, PrefixProblem};
use super::request::{Event, Refusal, Request};
use super::scheduler::Engine;
use crate::sampler::Sampling;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A file with what the model remembers of the beginning of prompts. It says which model, format of
/// the cache and [revision](super::NUMERICS_REVISION) it is of and has a checksum, so it makes runs
/// shorter and changes no answer.
#[derive(Debug)]
pub struct PromptCache {
    path: PathBuf,
    fingerprint: [u8; 32],
    /// What the file has.
    tokens: Vec<u32>,
}

impl PromptCache {
    /// Lets the engine remember what the file at `path` has, if there is one. `fingerprint`
    /// identifies the model. Beside the cache comes why the file is of no use and will be replaced,
    /// if it is: it was made for another run, or it is damaged.
    ///
    /// # Errors
    /// If the file cannot be read, or is of another kind, and is not to be replaced.
    pub fn open(
        engine: &mut Engine<'_>,
        path: &Path,
        fingerprint: [u8; 32],
    ) -> Result<(PromptCache, Option<PrefixFileError>), PrefixFileError> {
        let (tokens, useless) = match engine.load_prefix(path, fingerprint) {
            Ok(tokens) => (tokens, None),
            Err(PrefixFileError { problem: PrefixProblem::Io(error), .. })
                if error.kind() == io::ErrorKind::NotFound =>
            {
                (Vec::new(), None)
            }
            Err(error) if error.problem.is_replaceable() => (Vec::new(), Some(error)),
            Err(error) => return Err(error),
        };
        Ok((PromptCache { path: path.into(), fingerprint, tokens }, useless))
    }

    /// Whether there is nothing in the file, or no file.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// How many tokens of a beginning are in the file.
    pub fn n_known(&self, beginning: &[u32]) -> usize {
        shared_len(&self.tokens, beginning)
    }

    /// Lets the engine, which has nothing else to do, read a beginning that the file does not have
    /// all of, until `interrupted`; `on_read` hears how far it is.
    ///
    /// # Errors
    /// If the engine refuses so many tokens.
    pub fn read(
        &self,
        engine: &mut Engine<'_>,
        beginning: &[u32],
        interrupted: &AtomicBool,
        mut on_read: impl FnMut(usize),
    ) -> Result<(), Refusal> {
        if self.n_known(beginning) == beginning.len() {
            return Ok(());
        }
        // The first token of an answer comes with the prompt.
        let request =
            Request { max_tokens: Some(1), ..Request::new(beginning.into(), Sampling::default()) };
        let id = engine.submit(request)?;
        while !engine.is_idle() {
            if interrupted.load(Ordering::Relaxed) {
                engine.cancel(id);
            }
            engine.step(&mut |_, event| {
                if let Event::Prompt { n_read } = event {
                    on_read(n_read);
                }
            });
        }
        Ok(())
    }

    /// Writes what the engine remembers of a beginning to the file, if that has less of it.
    ///
    /// # Errors
    /// If it cannot be written; the file is as it was then.
    pub fn keep(&mut self, engine: &Engine<'_>, beginning: &[u32]) -> Result<(), PrefixFileError> {
        // Nothing is lost for less, as where reading was interrupted.
        if engine.n_remembered(beginning) > self.n_known(beginning) {
            let n_tokens = engine.save_prefix(&self.path, self.fingerprint, beginning)?;
            self.tokens = beginning[..n_tokens].to_vec();
        }
        Ok(())
    }
}

/// The tokens with which all of these prompts begin.
pub fn shared_beginning<'a>(prompts: impl IntoIterator<Item = &'a [u32]>) -> &'a [u32] {
    let shared = prompts.into_iter().reduce(|a, b| &a[..shared_len(a, b)]);
    shared.unwrap_or_default()
}

/// How many tokens two sequences have in common from the beginning.
pub(super) fn shared_len(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
