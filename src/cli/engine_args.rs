//! The arguments that commands with many requests share.

use super::model_args::{LoadedModel, cache_format};
use crate::engine::Options;
use anyhow::{Result, ensure};
use clap::Args;
use gatefold_quant::DynFormat;

/// How many requests are worked on together.
#[derive(Args)]
pub struct EngineArgs {
    /// Most texts that are worked on together
    #[arg(long, value_name = "N", default_value_t = 32)]
    parallel: usize,

    /// Format of the remembered keys and values: f32, f16 or q8_0
    #[arg(long, value_name = "TYPE", default_value = "f16", value_parser = cache_format)]
    cache_type: &'static DynFormat,
}

impl EngineArgs {
    /// The engine's options for a model.
    pub fn options(&self, loaded: &LoadedModel) -> Result<Options> {
        ensure!(self.parallel > 0, "--parallel is 0, so no text would be worked on; use 1 or more");
        Ok(Options {
            cache_format: self.cache_type,
            context_len: loaded.context_len,
            step_len: loaded.batch_len,
            max_live: self.parallel,
            memory_bytes: u64::MAX,
        })
    }
}
