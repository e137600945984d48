//! The arguments that every command running a model shares, and what they resolve to.

use super::size::size;
use crate::demo::open_model;
use crate::terminal::progress::reading;
use crate::terminal::{print_file_notes, print_note};
use anyhow::{Context, Result, ensure};
use clap::Args;
use gatefold::Compute;
use gatefold::architecture::Config;
use gatefold::engine::LogitsSession;
use gatefold::gguf::{Gguf, ReadAhead};
use gatefold::machine::read_ahead_bytes;
use gatefold::model::{Memory, Model, ModelError};
use gatefold::text::bytes;
use gatefold::{DynFormat, Isa, LanguageModel};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Which model, and how it runs.
#[derive(Args)]
pub struct ModelArgs {
    /// The model: a GGUF file, of a split one any part, or a name as `gatefold pull` takes it
    /// [default: the demo model]
    #[arg(short, long, value_name = "FILE|NAME")]
    pub model: Option<PathBuf>,

    #[command(flatten)]
    compute: ComputeArgs,

    /// Tokens of context; for perplexity, routing and importance those of a window; 0 is as many as the
    /// model was made for [default: the model's own; of a window: 512]
    #[arg(short, long = "ctx-size", value_name = "N")]
    pub context: Option<usize>,

    /// Prompt tokens that go through the model together [default: 512; up to 2048 where the model is
    /// larger than memory]
    #[arg(short, long = "batch-size", value_name = "N")]
    batch: Option<usize>,

    /// Memory for weights, keys and values: 500M, 8G. What does not fit is read from the disk, step by
    /// step [default: what is free]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
}

/// What a command does with a model, as far as its memory depends on it.
#[derive(Clone, Copy, Default)]
pub struct Use {
    /// The context, where the user does not say and the model's own is longer.
    pub default_context: Option<usize>,
    /// Format of the KV cache; none is the engine's.
    pub cache_format: Option<&'static DynFormat>,
    /// Whether many sequences are worked on together.
    pub is_for_many: bool,
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
    /// Opens the model, and begins to read its weights. The context is `-c`, else the use's default
    /// where that is less than the model's own, or what fits where the model is larger than memory.
    pub fn load(&self, model_use: Use) -> Result<LoadedModel> {
        let mut loaded = self.prepare(model_use, |gguf, context_len| {
            let name = file_name(&gguf);
            let memory = Memory {
                memory_bytes: self.memory,
                cache_format: model_use.cache_format,
                context_len: (model_use.is_for_many || self.context.is_some())
                    .then_some(context_len),
                max_batched_tokens: self.batch,
                is_for_many: model_use.is_for_many,
            };
            Ok(LanguageModel::in_memory(gguf, &memory, reading(name))?)
        })?;
        let is_mapped = loaded.language.model.residence().is_none();
        if is_mapped {
            loaded._read_ahead = self.model.is_some().then(|| read_ahead(&loaded.language.gguf));
        } else {
            self.tell_residence(&loaded.language.model);
            self.shorten(&mut loaded, model_use);
        }
        Ok(loaded)
    }

    /// The same without reading weights, for whoever asks the model nothing.
    pub fn open(&self, model_use: Use) -> Result<LoadedModel> {
        self.prepare(model_use, |gguf, _| Ok(LanguageModel::mapped(gguf)?))
    }

    /// Opens the file, and has `load` make a model of it with this context.
    fn prepare(
        &self,
        model_use: Use,
        load: impl FnOnce(Gguf, usize) -> Result<LanguageModel>,
    ) -> Result<LoadedModel> {
        let start = Instant::now();
        ensure!(self.batch != Some(0), "-b is 0, but a prompt cannot be read in chunks of nothing");
        let compute = self.compute.resolve()?;
        let gguf = open_model(self.model.as_deref())?;
        let context_len = self.context_len(&Config::from_gguf(&gguf)?, model_use)?;
        let language = load(gguf, context_len)?;
        print_file_notes(language.notes());
        let shares = language.model.shares();
        let worth = shares.and_then(|shares| shares.max_batched_tokens);
        Ok(LoadedModel {
            _read_ahead: None,
            language,
            compute: Arc::new(compute),
            context_len,
            batch_len: self.batch.or(worth).unwrap_or(DEFAULT_BATCH),
            load_time: start.elapsed(),
        })
    }

    fn context_len(&self, config: &Config, model_use: Use) -> Result<usize> {
        let (trained_len, usual_len) = (config.context_len, config.usual_context_len());
        Ok(match self.context {
            None => model_use.default_context.unwrap_or(usual_len).min(usual_len),
            Some(0) => trained_len,
            Some(context_len) => {
                ensure!(
                    context_len <= trained_len,
                    "-c is {context_len}, but the model was made for contexts of up to {trained_len}"
                );
                context_len
            }
        })
    }

    /// Says how much of a model is in memory that is larger.
    fn tell_residence(&self, model: &Model) {
        let Some(residence) = model.residence() else { return };
        let (all, most) = (bytes(residence.weights_bytes), bytes(residence.most_bytes));
        let limit = if self.memory.is_some() { "--memory" } else { "the memory that is free" };
        print_note(format_args!(
            "{all} of weights are more than {limit} allows: {most} and with them {:.0}% of the experts stay in memory, the others are read from the disk as they are needed",
            100.0 * residence.expert_share
        ));
    }

    /// Takes a shorter context where a single sequence of the model's own would not fit, unless one was
    /// asked for.
    fn shorten(&self, loaded: &mut LoadedModel, model_use: Use) {
        let cache_bytes = loaded.language.model.shares().and_then(|shares| shares.cache_bytes);
        let needs = loaded.language.model.needs(model_use.cache_format);
        if let Some(cache_bytes) =
            cache_bytes.filter(|_| self.context.is_none() && !model_use.is_for_many)
        {
            let most = usize::try_from(cache_bytes / needs.cache.max(1)).unwrap_or(usize::MAX);
            if most < loaded.context_len {
                print_note(format_args!(
                    "note: the context is {most} tokens, an eighth of the memory beside what is always there; -c asks for more"
                ));
                loaded.context_len = most;
            }
        }
    }
}

impl LoadedModel {
    /// What was read from the disk for `n_tokens`, and how much of the model stays in memory, where it is
    /// larger: `1.2 GB a token from the disk, 54% of the experts in memory`.
    pub fn disk_use(&self, disk_bytes: u64, n_tokens: usize) -> Option<String> {
        let residence = self.language.model.residence()?;
        let share = 100.0 * residence.expert_share;
        let per_token = bytes(disk_bytes / n_tokens.max(1) as u64);
        Some(format!("{per_token} a token from the disk, {share:.0}% of the experts in memory"))
    }

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
    ReadAhead::start(gguf, read_ahead_bytes(), reading(file_name(gguf)))
}

fn file_name(gguf: &Gguf) -> String {
    gguf.path().file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The format of the cache of keys and values, from its name.
pub fn cache_format(name: &str) -> Result<&'static DynFormat, String> {
    const ALLOWED: [&str; 3] = ["f32", "f16", "q8_0"];
    let allowed = ALLOWED.iter().find(|allowed| allowed.eq_ignore_ascii_case(name));
    let format = allowed.and_then(|name| DynFormat::by_name(name));
    format.ok_or_else(|| format!("there are {}", ALLOWED.join(", ")))
}
