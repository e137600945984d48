//! The arguments that commands with many requests share.

use super::model_args::{LoadedModel, cache_format};
use super::print_note;
use super::size::size;
use crate::engine::Options;
use crate::inspect::cache_bytes;
use crate::model::PageLayout;
use crate::tokenizer::{ChatTemplate, Date};
use anyhow::Result;
use clap::{Args, value_parser};
use gatefold_quant::DynFormat;

/// How many requests are worked on together, and in how much memory.
#[derive(Args)]
pub struct EngineArgs {
    /// Memory for keys and values: 500M, 8G [default: what is free beside the weights]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,

    /// Most texts that are worked on together; never more than --batch-size
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = value_parser!(u16).range(1..=4096))]
    parallel: u16,

    /// Format of the remembered keys and values: f32, f16 or q8_0 [default: q8_0, or f16 where the
    /// model's heads are no whole blocks]
    #[arg(long, value_name = "TYPE", value_parser = cache_format)]
    cache_type: Option<&'static DynFormat>,

    /// Tell the model this date, as 2026-11-22, where its chat template asks for one [default: the
    /// day, in UTC, on which the run begins]
    #[arg(long, value_name = "DATE")]
    date: Option<Date>,
}

impl EngineArgs {
    /// The engine's options for a model.
    pub fn options(&self, loaded: &LoadedModel) -> Result<Options> {
        let compact = || PageLayout::compact_format(loaded.model.config());
        Ok(Options {
            cache_format: self.cache_type.unwrap_or_else(compact),
            context_len: loaded.context_len,
            step_len: loaded.batch_len,
            max_live: self.parallel.into(),
            memory_bytes: self.memory.unwrap_or_else(|| cache_bytes(&loaded.gguf)),
        })
    }

    /// The model's chat template, with the date that was given.
    pub fn chat_template(&self, loaded: &LoadedModel) -> Result<ChatTemplate> {
        let template = loaded.chat_template()?;
        if let Some(date) = self.date {
            return Ok(template.with_date(date));
        }
        if template.asks_for_date() {
            let today = Date::of_this_run();
            print_note(format_args!(
                "the chat template tells the model the date, today {today}; --date fixes it"
            ));
        }
        Ok(template)
    }
}
