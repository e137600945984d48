//! What prompts begin with, kept from run to run.

use super::prefix::shared_len;
use super::prefix_file::{self, PrefixFileError, PrefixProblem};
use super::request::{Event, Refusal, Request};
use super::scheduler::Engine;
use crate::files::folder_of;
use crate::model::pages::TILE_LEN;
use crate::sampler::Sampling;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// A file is written anew only if that saves a run a page of reading, and one part in this many of
/// what it reads: it may have gigabytes.
const LEAST_PART: usize = 8;

/// A file with what the model remembers of the beginning of prompts. It says which model, format of
/// the cache and [revision](super::NUMERICS_REVISION) it is of and has a checksum, so it makes runs
/// shorter and changes no answer.
#[derive(Debug)]
pub struct PromptCache {
    path: PathBuf,
    fingerprint: [u8; 32],
    content: Content,
}

/// What is in the file.
#[derive(Debug)]
enum Content {
    /// There is no file.
    Nothing,
    /// What the model remembers of these tokens.
    Tokens(Vec<u32>),
    /// Nothing for this run.
    Useless(PrefixFileError),
}

/// What becomes of the file for a beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is: it has all but a little of the beginning, or more to lose.
    None,
    /// There was none, and now there is.
    Made,
    /// It has what it had, and more.
    Extended,
    /// It has this beginning in place of what it had.
    Replaced,
}

impl PromptCache {
    /// Lets the engine remember what the file at `path` has, if there is one and it was made for runs
    /// like this. `fingerprint` identifies the model.
    ///
    /// # Errors
    /// If the file cannot be read or is of another kind, or there is no folder for it.
    pub fn open(
        engine: &mut Engine<'_>,
        path: &Path,
        fingerprint: [u8; 32],
    ) -> Result<PromptCache, PrefixFileError> {
        let content = match engine.load_prefix(path, fingerprint) {
            Ok(tokens) => Content::Tokens(tokens),
            Err(PrefixFileError { problem: PrefixProblem::Io(error), path })
                if error.kind() == io::ErrorKind::NotFound =>
            {
                if !folder_of(&path).is_dir() {
                    return Err(PrefixFileError { path, problem: PrefixProblem::NoFolder });
                }
                Content::Nothing
            }
            Err(error) if error.problem.is_of_ours() => Content::Useless(error),
            Err(error) => return Err(error),
        };
        Ok(PromptCache { path: path.into(), fingerprint, content })
    }

    /// Why the file is of no use for this run, if it is of none.
    pub fn problem(&self) -> Option<&PrefixFileError> {
        match &self.content {
            Content::Useless(error) => Some(error),
            Content::Nothing | Content::Tokens(_) => None,
        }
    }

    /// How many tokens of a beginning are in the file.
    pub fn n_known(&self, beginning: &[u32]) -> usize {
        match &self.content {
            Content::Tokens(tokens) => shared_len(tokens, beginning),
            Content::Nothing | Content::Useless(_) => 0,
        }
    }

    /// What is to become of the file for this beginning.
    pub fn change(&self, beginning: &[u32]) -> Change {
        let n_new = beginning.len() - self.n_known(beginning);
        let is_little = n_new < TILE_LEN || n_new < beginning.len() / LEAST_PART;
        match &self.content {
            Content::Nothing if n_new > 0 => Change::Made,
            Content::Tokens(tokens) if !is_little && beginning.starts_with(tokens) => {
                Change::Extended
            }
            // Another run may have the memory for it.
            Content::Useless(PrefixFileError { problem: PrefixProblem::Memory { .. }, .. }) => {
                Change::None
            }
            Content::Tokens(_) | Content::Useless(_) if !is_little => Change::Replaced,
            _ => Change::None,
        }
    }

    /// Finds out whether the file can be written, if it is to [change](Self::change) for this
    /// beginning: before reading, which may take long. Nothing is left behind.
    ///
    /// # Errors
    /// If it is to be written and cannot be.
    pub fn check(&self, beginning: &[u32]) -> Result<(), PrefixFileError> {
        match self.change(beginning) {
            Change::None => Ok(()),
            _ => prefix_file::check(&self.path),
        }
    }

    /// Lets the engine, which has nothing else to do, read a beginning for which the file is to
    /// [change](Self::change), until `interrupted`; `on_read` hears how far it is.
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
        if self.change(beginning) == Change::None {
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
                if let Event::Prompt { n_read, .. } = event {
                    on_read(n_read);
                }
            });
        }
        Ok(())
    }

    /// Writes what the engine remembers of a beginning, which may be less than all of it where
    /// reading was interrupted, to the file, if that is to change for it. Returns how it has changed.
    ///
    /// # Errors
    /// If it cannot be written; the file is as it was then.
    pub fn keep(
        &mut self,
        engine: &Engine<'_>,
        beginning: &[u32],
    ) -> Result<Change, PrefixFileError> {
        let beginning = &beginning[..engine.n_remembered(beginning)];
        let change = self.change(beginning);
        if change != Change::None {
            engine.save_prefix(&self.path, self.fingerprint, beginning)?;
            self.content = Content::Tokens(beginning.into());
        }
        Ok(change)
    }
}

/// The tokens with which all of these prompts begin.
pub fn shared_beginning<'a>(prompts: impl IntoIterator<Item = &'a [u32]>) -> &'a [u32] {
    let shared = prompts.into_iter().reduce(|a, b| &a[..shared_len(a, b)]);
    shared.unwrap_or_default()
}
