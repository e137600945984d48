//! `--prompt-cache`.

use super::model_args::LoadedModel;
use super::print_note;
use super::progress::progress_bar;
use crate::engine::{Engine, PromptCache};
use crate::gguf::printable;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

/// Whether the beginning of prompts is kept for the next run.
#[derive(Args)]
pub struct PromptCacheArgs {
    /// Keep in this file what the model remembers of the beginning that all prompts have in common,
    /// and go on from it the next time. It changes no answer; one of another model, cache type or
    /// prompt is replaced
    #[arg(long, value_name = "FILE")]
    pub prompt_cache: Option<PathBuf>,
}

impl PromptCacheArgs {
    /// Takes up what the file has.
    pub fn open(&self, engine: &mut Engine<'_>, loaded: &LoadedModel) -> Result<Option<Kept>> {
        let Some(path) = &self.prompt_cache else { return Ok(None) };
        let (cache, useless) = PromptCache::open(engine, path, loaded.gguf.fingerprint())?;
        if let Some(error) = useless {
            print_note(format_args!("{error}; it is made anew"));
        }
        let name = printable(path.display());
        Ok(Some(Kept { cache, name }))
    }

    /// Has what all prompts begin with read before anything else, and puts it into the file.
    pub fn prepare(
        &self,
        engine: &mut Engine<'_>,
        loaded: &LoadedModel,
        beginning: impl FnOnce() -> Result<Vec<u32>>,
        interrupted: &AtomicBool,
    ) -> Result<()> {
        let Some(mut kept) = self.open(engine, loaded)? else { return Ok(()) };
        let beginning = &beginning()?;
        let bar = progress_bar(beginning.len(), "tokens that all prompts begin with");
        let on_read = |n_read| bar.set_position(n_read as u64);
        // What the engine refuses here it refuses each request for.
        let is_read = kept.cache.read(engine, beginning, interrupted, on_read).is_ok();
        bar.finish_and_clear();
        if is_read {
            kept.keep(engine, beginning);
        }
        Ok(())
    }
}

/// An open prompt cache.
pub struct Kept {
    cache: PromptCache,
    name: String,
}

impl Kept {
    /// Puts a beginning into the file, if it is not there. The answers are worth more: that it
    /// cannot be written is no reason to stop.
    pub fn keep(&mut self, engine: &Engine<'_>, beginning: &[u32]) {
        let (n_known, n_tokens) = (self.cache.n_known(beginning), beginning.len());
        if !self.cache.is_empty() && n_known < n_tokens {
            let name = &self.name;
            print_note(format_args!(
                "{name}: the prefix has {n_known} of {n_tokens} tokens in common with this run; it is made anew"
            ));
        }
        if let Err(error) = self.cache.keep(engine, beginning) {
            print_note(format_args!("{error}; the next run will read the prompt again"));
        }
    }
}
