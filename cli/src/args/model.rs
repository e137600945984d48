//! The arguments that every command running a model shares, and what they resolve to.

use crate::demo::open_model;
use crate::terminal::print_file_notes;
use crate::terminal::progress::reading;
use anyhow::{Context, Result, ensure};
use clap::Args;
use gatefold::Compute;
use gatefold::engine::LogitsSession;
use gatefold::gguf::{Gguf, ReadAhead};
use gatefold::machine::read_ahead_bytes;
use gatefold::model::ModelError;
use gatefold::{DynFormat, Isa, LanguageModel};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Which model, and how it runs.
#[derive(Args)]
pub struct ModelArgs {
    /// GGUF file of the model; of a split one, any part [default: the demo model]
    #[arg(short, long, value_name = "FILE")]
    pub model: Option<PathBuf>,

    #[command(flatten)]
    compute: ComputeArgs,

    /// Tokens of context; for perplexity, routing and importance those of a window; 0 is as many as the
    /// model was made for [default: the model's own; of a window: 512]
    #[arg(short, long = "ctx-size", value_name = "N")]
    pub context: Option<usize>,

    /// Prompt tokens that go through the model together
    #[arg(short, long = "batch-size", value_name = "N", default_value_t = DEFAULT_BATCH)]
    pub batch: usize,
}

/// Prompt tokens that go through the model together, where the user does not say.
pub const DEFAULT_BATCH: usize = 512;

/// What computes.
#[derive(Args)]
pub struct ComputeArgs {
    /// Threads; -1 is the default [default: the physical cores]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<i64>,

    /// Instruction set: scalar, neon, avx2, avx512 or amx [default: the best that the CPU has]
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,
}

/// More threads than any machine has cores: beyond it, starting them is all that happens.
const MAX_THREADS: usize = 1024;

impl ComputeArgs {
    /// The pool and the instruction set.
    pub fn resolve(&self) -> Result<Compute> {
        let n_threads = self.n_threads()?;
        let isa = self.isa.as_deref().map_or(Ok(Isa::detect()), Isa::named).context("--isa")?;
        Compute::new(isa, n_threads).context("starting the threads")
    }

    /// The number of threads, if one is given; as llama.cpp has it, -1 is none.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn n_threads(&self) -> Result<Option<usize>> {
        let Some(n_threads) = self.threads.filter(|&n_threads| n_threads != -1) else {
            return Ok(None);
        };
        let n_wanted = usize::try_from(n_threads).ok().filter(|n| (1..=MAX_THREADS).contains(n));
        let n_wanted = n_wanted.with_context(|| {
            format!(
                "-t is {n_threads}; use 1 to {MAX_THREADS}, best as many as there are physical cores"
            )
        });
        n_wanted.map(Some)
    }
}

/// A model ready to run.
pub struct LoadedModel {
    /// The model.
    pub language: LanguageModel,
    /// What computes.
    pub compute: Arc<Compute>,
    /// Tokens of context.
    pub context_len: usize,
    /// Tokens per step.
    pub batch_len: usize,
    /// Time it took to load.
    pub load_time: Duration,
    _read_ahead: Option<ReadAhead>,
}

impl ModelArgs {
    /// Opens the model, and begins to read its weights. The context is `-c`, else `default_context`
    /// where that is less than the model's own.
    pub fn load(&self, default_context: Option<usize>) -> Result<LoadedModel> {
        let mut loaded = self.open(default_context)?;
        loaded._read_ahead = self.model.is_some().then(|| read_ahead(&loaded.language.gguf));
        Ok(loaded)
    }

    /// The same without reading weights, for whoever asks the model nothing.
    pub fn open(&self, default_context: Option<usize>) -> Result<LoadedModel> {
        let start = Instant::now();
        ensure!(self.batch > 0, "-b is 0, but a prompt cannot be read in chunks of nothing");
        let compute = self.compute.resolve()?;
        let language = LanguageModel::from_gguf(open_model(self.model.as_deref())?)?;
        print_file_notes(language.notes());
        let config = language.model.config();
        let (trained_len, usual_len) = (config.context_len, config.usual_context_len());
        let context_len = match self.context {
            None => default_context.unwrap_or(usual_len).min(usual_len),
            Some(0) => trained_len,
            Some(context_len) => {
                ensure!(
                    context_len <= trained_len,
                    "-c is {context_len}, but the model was made for contexts of up to {trained_len}"
                );
                context_len
            }
        };
        let (batch_len, load_time) = (self.batch, start.elapsed());
        Ok(LoadedModel {
            _read_ahead: None,
            language,
            compute: Arc::new(compute),
            context_len,
            batch_len,
            load_time,
        })
    }
}

impl LoadedModel {
    /// An empty session with a cache of this format.
    pub fn logits_session(
        &self,
        cache_format: &'static DynFormat,
    ) -> Result<LogitsSession<'_>, ModelError> {
        LogitsSession::new(
            &self.language.model,
            &self.compute,
            cache_format,
            self.context_len,
            self.batch_len,
        )
    }
}

/// Begins to read a model's files into memory, with a bar.
pub fn read_ahead(gguf: &Gguf) -> ReadAhead {
    let name = gguf.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
    ReadAhead::start(gguf, read_ahead_bytes(), reading(name))
}

/// The format of the cache of keys and values, from its name.
pub fn cache_format(name: &str) -> Result<&'static DynFormat, String> {
    const ALLOWED: [&str; 3] = ["f32", "f16", "q8_0"];
    let allowed = ALLOWED.iter().find(|allowed| allowed.eq_ignore_ascii_case(name));
    let format = allowed.and_then(|name| DynFormat::by_name(name));
    format.ok_or_else(|| format!("there are {}", ALLOWED.join(", ")))
}
