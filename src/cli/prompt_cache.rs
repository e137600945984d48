//! `--prompt-cache`.

use super::model_args::LoadedModel;
use super::print_note;
use super::progress::progress_bar;
use crate::engine::{Change, Engine, PrefixFileError, PromptCache};
use crate::text::printable;
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Whether the beginning of prompts is kept for the next run.
#[derive(Args)]
pub struct PromptCacheArgs {
    /// Keep in this file what the model remembers of the beginning that the first prompts have in
    /// common, and go on from it the next time. It changes no answer. The file stays as it is where it
    /// saves all but fewer than 64 tokens or an eighth of the reading, or --memory has no room for it; else it is
    /// extended by a beginning that goes on from it, and replaced by another of 64 tokens or more
    #[arg(long, value_name = "FILE")]
    pub prompt_cache: Option<PathBuf>,
}

impl PromptCacheArgs {
    /// Takes up what the file has; what else all prompts begin with is read before anything else, and
    /// put into the file. The answers are worth more: that it cannot be written is no reason to stop.
    pub fn prepare(
        &self,
        engine: &mut Engine<'_>,
        loaded: &LoadedModel,
        beginning: impl FnOnce() -> Result<Vec<u32>>,
        interrupted: &AtomicBool,
    ) -> Result<()> {
        let Some(path) = &self.prompt_cache else { return Ok(()) };
        let mut cache = PromptCache::open(engine, path, loaded.gguf.fingerprint())?;
        let beginning = &beginning()?;
        if let Err(error) = cache.check(beginning) {
            if let Some(problem) = cache.problem() {
                print_note(problem);
            }
            tell_not_kept(&error);
            return Ok(());
        }
        let bar = progress_bar(beginning.len(), "tokens that prompts begin with");
        let on_read = |n_read| bar.set_position(n_read as u64);
        // What the engine refuses here it refuses each request for.
        let is_read = cache.read(engine, beginning, interrupted, on_read).is_ok();
        bar.finish_and_clear();
        if is_read {
            keep(&mut cache, path, engine, beginning);
        }
        Ok(())
    }
}

/// Puts a beginning into the file, if that is to have it, and says what became of the one before.
fn keep(cache: &mut PromptCache, path: &Path, engine: &Engine<'_>, beginning: &[u32]) {
    // Reading may have been interrupted.
    let beginning = &beginning[..engine.n_remembered(beginning)];
    let problem = cache.problem().map(ToString::to_string);
    let (n_known, n_tokens) = (cache.n_known(beginning), beginning.len());
    let kept = cache.keep(engine, beginning);
    let became = match &kept {
        Ok(Change::None | Change::Made) | Err(_) => "it is left as it is",
        Ok(Change::Extended) => "it is extended",
        Ok(Change::Replaced) => "it is replaced",
    };
    match (problem, &kept) {
        (Some(problem), _) => print_note(format_args!("{problem}; {became}")),
        (None, Ok(Change::Extended | Change::Replaced)) => print_note(format_args!(
            "{}: {} of {n_tokens} tokens are new; {became}",
            printable(path.display()),
            n_tokens - n_known
        )),
        (None, _) => {}
    }
    if let Err(error) = kept {
        tell_not_kept(&error);
    }
}

/// Says why what is read is for this run alone.
fn tell_not_kept(error: &PrefixFileError) {
    print_note(format_args!("{error}; this run keeps nothing in it"));
}
