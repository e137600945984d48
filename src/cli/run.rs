//! `gatefold run`.

use super::chat::{self, Chat};
use super::model_args::{LoadedModel, ModelArgs, cache_format};
use super::progress::{self, progress_bar};
use super::prompt_cache::PromptCacheArgs;
use super::sampling_args::SamplingArgs;
use super::text_args::TextArgs;
use super::{interrupt, print_note, print_piece};
use crate::engine::{Engine, Event, Generated, Options, Request, Speed};
use crate::jobs::Outcome;
use crate::sampler::Sampling;
use crate::tokenizer::ChatTemplate;
use anyhow::{Context, Result, ensure};
use clap::Args;
use gatefold_quant::DynFormat;
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const EXAMPLES: &str = "\
Examples:
  gatefold run -m mixtral.gguf                                   chat
  gatefold run -m mixtral.gguf -p 'Why is the sky blue?' -n 200  one answer
  gatefold run -m mixtral.gguf -f story.txt --raw --temp 0       continue a text, no template
  echo 'Name three rivers.' | gatefold run -m mixtral.gguf --json
  gatefold run -m mixtral.gguf -f book.txt --prompt-cache book.cache   the next time it is not read again";

/// Arguments of `gatefold run`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    text: TextArgs,

    /// Most tokens to make; -1 is up to the end of the context
    #[arg(short, long = "n-predict", value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    n_predict: i64,

    /// Continue the text as it is, without the model's chat template
    #[arg(long, conflicts_with_all = ["chat", "system"])]
    raw: bool,

    /// Chat on the terminal
    #[arg(long)]
    chat: bool,

    /// System message of the chat
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,

    /// End the answer before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,

    #[command(flatten)]
    sampling: SamplingArgs,

    /// Format of the remembered keys and values: f32, f16 or q8_0
    #[arg(long, value_name = "TYPE", default_value = "f16", value_parser = cache_format)]
    cache_type: &'static DynFormat,

    #[command(flatten)]
    prompt_cache: PromptCacheArgs,

    /// Print one JSON object instead of streaming the text
    #[arg(long, conflicts_with = "chat")]
    json: bool,
}

/// Completes a prompt, or chats.
pub fn run(args: RunArgs) -> Result<Outcome> {
    let max_tokens = match args.n_predict {
        -1 => None,
        0 => anyhow::bail!(
            "-n is 0, so there is nothing to generate; use 1 or more, or -1 for no limit"
        ),
        n if n < 0 => anyhow::bail!("-n is {n}; use 1 or more, or -1 for no limit"),
        n => Some(n as usize),
    };
    let sampling = args.sampling.resolve()?;
    let loaded = args.model.load(None)?;
    let own_template = if args.raw { None } else { own_template(&loaded)? };
    let on_terminal = args.text.is_empty() && stdin().is_terminal() && !args.raw && !args.json;
    let chats = args.chat || (on_terminal && own_template.is_some());
    let mut session = Session {
        loaded: &loaded,
        engine: engine(&loaded, args.cache_type)?,
        sampling,
        max_tokens,
        stops: &args.stop,
        has_template: chats || own_template.is_some(),
        interrupted: Arc::default(),
    };
    if chats {
        ensure!(
            args.prompt_cache.prompt_cache.is_none(),
            "--prompt-cache is for single prompts; give one with -p or -f, without --chat"
        );
        let template = own_template.unwrap_or_else(ChatTemplate::mistral);
        Chat::new(session, template, args.system).run(&args.text)?;
        return Ok(Outcome::Done);
    }
    let prompt = prompt(&loaded, own_template, args.system, args.text.read()?)?;
    // From here on an interrupt ends the answer; until then, it ends the program.
    interrupt::watch_with_termination(&session.interrupted)?;
    let beginning = || Ok(prompt.clone());
    args.prompt_cache.prepare(&mut session.engine, &loaded, beginning, &session.interrupted)?;
    if session.is_interrupted() {
        return Ok(Outcome::Interrupted);
    }
    if args.json {
        let generated = session.generate(&prompt, |_| Ok(()))?;
        writeln!(stdout().lock(), "{}", session.json(&prompt, &generated))?;
    } else {
        let generated = session.generate(&prompt, print_piece)?;
        writeln!(stdout().lock())?;
        print_note(session.summary(&generated));
    }
    Ok(if session.is_interrupted() { Outcome::Interrupted } else { Outcome::Done })
}

/// What the answer to a single text follows.
fn prompt(
    loaded: &LoadedModel,
    template: Option<ChatTemplate>,
    system: Option<String>,
    text: String,
) -> Result<Vec<u32>> {
    Ok(match template {
        Some(template) => template.encode(&loaded.tokenizer, &chat::conversation(system, text))?,
        None => {
            ensure!(system.is_none(), "--system needs a chat template, and this model has none");
            loaded.tokenizer.encode_text(&text)?
        }
    })
}

fn engine<'a>(loaded: &'a LoadedModel, cache_type: &'static DynFormat) -> Result<Engine<'a>> {
    let LoadedModel { model, tokenizer, compute, context_len, batch_len, .. } = loaded;
    let options = Options::one_at_a_time(model.config(), cache_type, *context_len, *batch_len)?;
    Ok(Engine::new(model, tokenizer, compute, options)?)
}

fn own_template(loaded: &LoadedModel) -> Result<Option<ChatTemplate>> {
    ChatTemplate::from_metadata(loaded.gguf.metadata()).with_context(|| {
        format!("{} (--raw does without a template)", loaded.gguf.path().display())
    })
}

/// A model that gives one answer after the other.
pub struct Session<'a> {
    /// What it runs.
    pub loaded: &'a LoadedModel,
    engine: Engine<'a>,
    sampling: Sampling,
    max_tokens: Option<usize>,
    stops: &'a [String],
    has_template: bool,
    /// Set to end the answer that is being made.
    pub interrupted: Arc<AtomicBool>,
}

impl Session<'_> {
    /// Generates what follows `prompt`, and hands every piece of it to `show`.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        mut show: impl FnMut(&str) -> io::Result<()>,
    ) -> Result<Generated> {
        let request = Request {
            is_own_text: self.has_template,
            max_tokens: self.max_tokens,
            stops: self.stops.to_vec(),
            ..Request::new(prompt.to_vec(), self.sampling.clone())
        };
        let id = self.engine.submit(request)?;
        progress::show();
        let bar = progress_bar(prompt.len(), "prompt tokens");
        let mut shown = Ok(());
        let mut result = None;
        while !self.engine.is_idle() {
            if shown.is_err() || self.is_interrupted() {
                self.engine.cancel(id);
            }
            self.engine.step(&mut |_, event| match event {
                Event::Prompt { n_read, .. } => bar.set_position(n_read as u64),
                Event::Text(text) => {
                    progress::hide();
                    if shown.is_ok() {
                        shown = show(text);
                    }
                }
                Event::Done(generated) => result = Some(Ok(generated)),
                Event::Failed(error) => result = Some(Err(error)),
            });
        }
        progress::hide();
        shown?;
        Ok(result.expect("an idle engine has told the end of every request")?)
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Lets the next answer be drawn with other random numbers.
    pub fn next_seed(&mut self) {
        self.sampling.seed = self.sampling.seed.wrapping_add(1);
    }

    /// One line on how fast it went, with what it takes to see that another run did the same: the
    /// seed, and a fingerprint of the last logits.
    pub fn summary(&self, generated: &Generated) -> String {
        let Generated { prompt_speed, speed, .. } = generated;
        format!(
            "loaded in {:.2} s; prompt {} tokens{}; generation {} tokens{}; seed {}; logits {:016x}",
            self.loaded.load_time.as_secs_f64(),
            prompt_speed.n_tokens,
            rates(prompt_speed),
            generated.tokens.len(),
            rates(speed),
            self.sampling.seed,
            generated.logits_hash(),
        )
    }

    fn json(&self, prompt: &[u32], generated: &Generated) -> Value {
        let speed = |speed: &Speed| {
            json!({
                "n_tokens": speed.n_tokens,
                "seconds": speed.duration.as_secs_f64(),
                "tokens_per_second": speed.tokens_per_second(),
                "weight_bytes_per_second": speed.bytes_per_second(),
            })
        };
        json!({
            "text": generated.text,
            "ids": generated.tokens,
            "prompt_ids": prompt,
            "finish_reason": generated.finish_reason,
            "load_seconds": self.loaded.load_time.as_secs_f64(),
            "prompt": speed(&generated.prompt_speed),
            "generation": speed(&generated.speed),
            "seed": self.sampling.seed,
            "logits_hash": format!("{:016x}", generated.logits_hash()),
        })
    }
}

/// How fast, where there was something to time.
fn rates(speed: &Speed) -> String {
    if speed.n_tokens == 0 {
        return String::new();
    }
    let (tokens, bytes) = (speed.tokens_per_second(), speed.bytes_per_second() / 1e9);
    format!(" at {tokens:.1}/s and {bytes:.1} GB/s of weights")
}
