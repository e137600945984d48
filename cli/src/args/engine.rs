//! The arguments that commands with many requests share.

use super::model::{LoadedModel, ModelArgs, Use, cache_format};
use super::prompt_cache::PromptCacheArgs;
use super::template::{TemplateArgs, tell_origin};
use crate::terminal::print_note;
use anyhow::Result;
use clap::{Args, value_parser};
use gatefold::DynFormat;
use gatefold::engine::{Engine, Options};
use gatefold::tokenizer::{ChatTemplate, Date};

/// Which model works on requests, on how many together, and in how much memory.
#[derive(Args)]
pub struct EngineArgs {
    /// The model.
    #[command(flatten)]
    pub model: ModelArgs,

    /// Most texts that are worked on together; never more than --batch-size [default: 32; 128 where the
    /// model is larger than memory]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=4096))]
    parallel: Option<u16>,

    /// Type of the KV cache: f32, f16 or q8_0 [default: q8_0, or f16 where the
    /// model's heads are no whole blocks]
    #[arg(long, value_name = "TYPE", value_parser = cache_format)]
    cache_type: Option<&'static DynFormat>,

    /// Tell the model this date, as 2026-11-22, where its chat template asks for one [default: the
    /// day, in UTC, on which the run begins]
    #[arg(long, value_name = "DATE")]
    date: Option<Date>,

    #[command(flatten)]
    template: TemplateArgs,

    /// Where the common prefix is kept.
    #[command(flatten)]
    pub prompt_cache: PromptCacheArgs,
}

/// Texts that are worked on together of a model that fits into memory, where the user does not say.
const DEFAULT_PARALLEL: usize = 32;

impl EngineArgs {
    /// Opens the model for many requests, and begins to read its weights.
    pub fn load(&self) -> Result<LoadedModel> {
        self.model.load(self.model_use())
    }

    /// The same without reading weights.
    pub fn open(&self) -> Result<LoadedModel> {
        self.model.open(self.model_use())
    }

    fn model_use(&self) -> Use {
        Use { default_context: None, cache_format: self.cache_type, is_for_many: true }
    }

    /// The engine's options for a model.
    pub fn options(&self, loaded: &LoadedModel) -> Options {
        let defaults = Options::for_model(&loaded.language);
        Options {
            cache_format: self.cache_type.unwrap_or(defaults.cache_format),
            context_len: loaded.context_len,
            max_batched_tokens: loaded.batch_len,
            max_running: self.parallel.map_or(defaults.max_running, usize::from),
            memory_bytes: defaults.memory_bytes,
        }
    }

    /// How many requests are worked on together, at most, of a model that is not known yet.
    pub fn max_running(&self) -> usize {
        self.parallel.map_or(DEFAULT_PARALLEL, usize::from)
    }

    /// The chat template, with the date that was given.
    pub fn chat_template(&self, loaded: &LoadedModel) -> Result<ChatTemplate> {
        let template = self.template.resolve(loaded)?;
        Ok(match self.date {
            Some(date) => template.with_date(date),
            None => template,
        })
    }
}

/// Says what an engine's work has read from the disk, where the model is larger than memory.
pub fn tell_disk_use(loaded: &LoadedModel, engine: &Engine) {
    let (n_tokens, disk_bytes) = engine.disk_use();
    loaded.disk_use(disk_bytes, n_tokens).iter().for_each(print_note);
}

/// Says which template the work is done with, and that it depends on the day.
pub fn tell_template(template: &ChatTemplate) {
    tell_origin(template);
    if template.asks_for_date() && template.given_date().is_none() {
        let today = Date::of_this_run();
        print_note(format_args!(
            "the chat template tells the model the date, today {today}; --date fixes it"
        ));
    }
}
