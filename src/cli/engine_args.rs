//! The arguments that commands with many requests share.

use super::model_args::{LoadedModel, cache_format};
use super::size::size;
use crate::engine::Options;
use crate::inspect::cache_bytes;
use crate::model::PageLayout;
use anyhow::{Result, ensure};
use clap::Args;
use gatefold_quant::DynFormat;

/// How many requests are worked on together, and in how much memory.
#[derive(Args)]
pub struct EngineArgs {
    /// Memory for keys and values: 500M, 8G [default: what is free beside the weights]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,

    /// Most texts that are worked on together
    #[arg(long, value_name = "N", default_value_t = 32)]
    parallel: usize,

    /// Format of the remembered keys and values: f32, f16 or q8_0 [default: q8_0, or f16 where the
    /// model's heads are no whole blocks]
    #[arg(long, value_name = "TYPE", value_parser = cache_format)]
    cache_type: Option<&'static DynFormat>,
}

impl EngineArgs {
    /// The engine's options for a model.
    pub fn options(&self, loaded: &LoadedModel) -> Result<Options> {
        ensure!(self.parallel > 0, "--parallel is 0, so no text would be worked on; use 1 or more");
        let compact = || PageLayout::compact_format(loaded.model.config());
        Ok(Options {
            cache_format: self.cache_type.unwrap_or_else(compact),
            context_len: loaded.context_len,
            step_len: loaded.batch_len,
            max_live: self.parallel,
            memory_bytes: self.memory.unwrap_or_else(|| cache_bytes(&loaded.gguf)),
        })
    }
}
