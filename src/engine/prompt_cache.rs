//! The prefix cache from run to run: the common prefix of prompts, in a file.

use super::prefix_cache::common_prefix_len;
use super::prefix_file::{PrefixFile, PrefixFileError, PrefixProblem};
use super::request::{Event, Refusal, Request};
use super::scheduler::Engine;
use crate::files::folder_of;
use crate::model::TILE_LEN;
use crate::sampler::Sampling;
use std::io;
use std::path::Path;
use std::sync::atomic::AtomicBool;

/// A file is written anew only if that saves a run a page of prefill, and one part in this many of its
/// prefill: it may have gigabytes.
const LEAST_PART: usize = 8;

/// A file with the keys and values of the common prefix of prompts. It says which model, format of
/// the cache and [revision](super::NUMERICS_REVISION) it is of and has a checksum, so it makes runs
/// shorter and changes no answer.
#[derive(Debug)]
pub struct PromptCache {
    file: PrefixFile,
    content: Content,
}

/// What is in the file.
#[derive(Debug)]
enum Content {
    /// There is no file.
    Nothing,
    /// Keys and values of these tokens.
    Tokens(Vec<u32>),
    /// Nothing for this run.
    Useless(PrefixFileError),
}

/// How a prompt cache was changed for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// How it has changed.
    pub change: Change,
    /// Tokens of the prefix that the engine had.
    pub n_tokens: usize,
    /// Those among them that the file had before.
    pub n_known: usize,
}

/// How a prompt cache changes for a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It stays as it is: it has all but a little of the prefix, or more to lose.
    None,
    /// There was none, and now there is.
    Made,
    /// It has what it had, and more.
    Extended,
    /// It has this prefix in place of what it had.
    Replaced,
}

impl PromptCache {
    /// Puts what the file at `path` has into the engine's prefix cache, if there is one and it was made
    /// for runs like this. `fingerprint` identifies what it depends on
    /// beside the tokens ([`crate::LanguageModel::cache_fingerprint`]).
    ///
    /// # Errors
    /// If the file cannot be read or is of another kind, or there is no folder for it.
    pub fn open(
        engine: &mut Engine,
        path: &Path,
        fingerprint: [u8; 32],
    ) -> Result<PromptCache, PrefixFileError> {
        let file = PrefixFile { path: path.into(), fingerprint };
        let content = match engine.load_prefix(&file) {
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
        Ok(PromptCache { file, content })
    }

    /// Why the file is of no use for this run, if it is of none.
    pub fn problem(&self) -> Option<&PrefixFileError> {
        match &self.content {
            Content::Useless(error) => Some(error),
            Content::Nothing | Content::Tokens(_) => None,
        }
    }

    /// How many tokens of a prefix are in the file.
    pub fn n_known(&self, prefix: &[u32]) -> usize {
        match &self.content {
            Content::Tokens(tokens) => common_prefix_len(tokens, prefix),
            Content::Nothing | Content::Useless(_) => 0,
        }
    }

    /// What is to become of the file for this prefix.
    pub fn change(&self, prefix: &[u32]) -> Change {
        let n_new = prefix.len() - self.n_known(prefix);
        let is_little = n_new < TILE_LEN || n_new < prefix.len() / LEAST_PART;
        match &self.content {
            Content::Nothing if n_new > 0 => Change::Made,
            Content::Tokens(tokens) if !is_little && prefix.starts_with(tokens) => Change::Extended,
            // Another run may have the memory for it.
            Content::Useless(PrefixFileError { problem: PrefixProblem::Memory { .. }, .. }) => {
                Change::None
            }
            Content::Tokens(_) | Content::Useless(_) if !is_little => Change::Replaced,
            _ => Change::None,
        }
    }

    /// Finds out whether the file can be written, if it is to [change](Self::change) for this
    /// prefix: before prefill, which may take long. Nothing is left behind.
    ///
    /// # Errors
    /// If it is to be written and cannot be.
    pub fn check(&self, prefix: &[u32]) -> Result<(), PrefixFileError> {
        match self.change(prefix) {
            Change::None => Ok(()),
            _ => self.file.check(),
        }
    }

    /// Lets the engine, which has nothing else to do, prefill a prefix for which the file is to
    /// [change](Self::change), until `interrupted`; `on_progress` hears how many tokens are computed.
    ///
    /// # Errors
    /// If the engine refuses so many tokens.
    pub fn prefill(
        &self,
        engine: &mut Engine,
        prefix: &[u32],
        interrupted: &AtomicBool,
        mut on_progress: impl FnMut(usize),
    ) -> Result<(), Refusal> {
        if self.change(prefix) == Change::None {
            return Ok(());
        }
        let request =
            Request { max_tokens: Some(0), ..Request::new(prefix.into(), Sampling::default()) };
        engine.submit(request)?;
        engine.run(interrupted, &mut |_, event| {
            if let Event::Prefill { n_computed, .. } = event {
                on_progress(n_computed);
            }
        });
        Ok(())
    }

    /// Writes the keys and values that the engine has of a prefix, which may be less than all of it
    /// where prefill was interrupted, to the file, if that is to change for it.
    ///
    /// # Errors
    /// If it cannot be written; the file is as it was then.
    pub fn keep(&mut self, engine: &Engine, prefix: &[u32]) -> Result<Kept, PrefixFileError> {
        let Some(cache) = engine.export_prefix(prefix) else {
            return Ok(Kept { change: Change::None, n_tokens: 0, n_known: 0 });
        };
        let prefix = &prefix[..cache.len()];
        let (change, n_known) = (self.change(prefix), self.n_known(prefix));
        if change != Change::None {
            self.file.save(prefix, &cache)?;
            self.content = Content::Tokens(prefix.into());
        }
        Ok(Kept { change, n_tokens: prefix.len(), n_known })
    }
}
