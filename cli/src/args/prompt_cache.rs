//! `--prompt-cache`.

use super::model::LoadedModel;
use crate::terminal::print_note;
use crate::terminal::progress::progress_bar;
use anyhow::Result;
use clap::Args;
use gatefold::engine::{Change, Engine, Handle, Kept, PrefixFileError, PromptCache};
use gatefold::text::printable;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

/// Whether the common prefix of prompts is kept for the next run.
#[derive(Args)]
pub struct PromptCacheArgs {
    /// Keep the KV cache of the prefix that the first prompts have in common in this file, and go on
    /// from it the next time. It changes no answer. The file stays as it is where it saves all but
    /// fewer than 64 tokens or an eighth of the prefill, or --memory has no room for it; else it is
    /// extended by a prefix that goes on from it, and replaced by another of 64 tokens or more
    #[arg(long, value_name = "FILE")]
    pub prompt_cache: Option<PathBuf>,
}

impl PromptCacheArgs {
    /// Takes up what the file has; the rest of the common prefix is prefilled before anything else, and
    /// put into the file. The answers are worth more: that it cannot be written is no reason to stop.
    pub fn prepare(
        &self,
        engine: &mut Engine,
        loaded: &LoadedModel,
        prefix: impl FnOnce() -> Result<Vec<u32>>,
        interrupted: &AtomicBool,
    ) -> Result<()> {
        let Some(path) = &self.prompt_cache else { return Ok(()) };
        let mut cache = open(path, engine, loaded)?;
        let prefix = &prefix()?;
        if let Err(error) = cache.check(prefix) {
            if let Some(problem) = cache.problem() {
                print_note(problem);
            }
            tell_not_kept(&error);
            return Ok(());
        }
        let bar = progress_bar(prefix.len(), "tokens of the common prefix");
        let on_progress = |n_computed| bar.set_position(n_computed as u64);
        // What the engine refuses here it refuses each request for.
        let is_computed = cache.prefill(engine, prefix, interrupted, on_progress).is_ok();
        bar.finish_and_clear();
        if is_computed {
            keep(&mut cache, path, engine, prefix);
        }
        Ok(())
    }

    /// Takes up what the file has, for an engine that does not know yet what it will be asked.
    pub fn open(&self, engine: &mut Engine, loaded: &LoadedModel) -> Result<OpenCache> {
        let path = self.prompt_cache.clone();
        let cache = path.map(|path| Ok::<_, PrefixFileError>((open(&path, engine, loaded)?, path)));
        Ok(OpenCache(cache.transpose()?))
    }
}

/// The file of an engine at work, if there is one.
pub struct OpenCache(Option<(PromptCache, PathBuf)>);

impl OpenCache {
    /// Puts what the engine has of a prefix into the file, where that is worth it.
    pub fn keep(self, engine: &Handle, prefix: Vec<u32>) {
        if let Some((mut cache, path)) = self.0 {
            // An engine that has died has nothing to keep.
            engine.call(move |engine| keep(&mut cache, &path, engine, &prefix));
        }
    }
}

fn open(
    path: &Path,
    engine: &mut Engine,
    loaded: &LoadedModel,
) -> Result<PromptCache, PrefixFileError> {
    let fingerprint = loaded.language.cache_fingerprint(loaded.context_len);
    PromptCache::open(engine, path, fingerprint)
}

/// Puts a prefix into the file, if that is to have it, and says what became of the one before.
fn keep(cache: &mut PromptCache, path: &Path, engine: &Engine, prefix: &[u32]) {
    let problem = cache.problem().map(ToString::to_string);
    let kept = cache.keep(engine, prefix);
    let change = kept.as_ref().map_or(Change::None, |kept| kept.change);
    let became = match change {
        Change::None | Change::Made => "it is left as it is",
        Change::Extended => "it is extended",
        Change::Replaced => "it is replaced",
    };
    match (problem, &kept) {
        (Some(problem), _) => print_note(format_args!("{problem}; {became}")),
        (None, &Ok(Kept { change: Change::Extended | Change::Replaced, n_tokens, n_known })) => {
            print_note(format_args!(
                "{}: {} of {n_tokens} tokens are new; {became}",
                printable(path.display()),
                n_tokens - n_known
            ));
        }
        (None, _) => {}
    }
    if let Err(error) = kept {
        tell_not_kept(&error);
    }
}

/// Says why the prefix is computed for this run alone.
fn tell_not_kept(error: &PrefixFileError) {
    print_note(format_args!("{error}; this run keeps nothing in it"));
}
