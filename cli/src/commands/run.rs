//! `gatefold run`.

use super::chat::{self, Chat};
use super::session::Session;
use crate::args::form::{self, FormArgs};
use crate::args::model::{LoadedModel, ModelArgs, Use, cache_format};
use crate::args::prompt_cache::PromptCacheArgs;
use crate::args::sampling::SamplingArgs;
use crate::args::template::{TemplateArgs, tell_folded, tell_origin};
use crate::args::text::WordsArgs;
use crate::jobs::Outcome;
use crate::routing::paint;
use crate::terminal::interrupt::Interrupts;
use crate::terminal::{print_note, print_piece};
use anyhow::{Result, ensure};
use clap::Args;
use gatefold::DynFormat;
use gatefold::architecture::Config;
use gatefold::engine::{Engine, Options};
use gatefold::tokenizer::{ChatTemplate, Origin};
use std::io::{IsTerminal, Write, stdin, stdout};
use std::sync::Arc;

const EXAMPLES: &str = "\
Examples:
  gatefold run -m mixtral.gguf                                   chat
  gatefold run -m mixtral.gguf 'Why is the sky blue?' -n 200     one answer
  gatefold run -m mixtral.gguf -f story.txt --raw --temp 0       continue a text, no template
  gatefold run -m mixtral.gguf -p 'What is new in this?' < CHANGELOG.md    a prompt, and a text for it
  echo 'Name three rivers.' | gatefold run -m mixtral.gguf --json
  gatefold run -m mixtral.gguf 'Who wrote this?' -j who.json < mail.txt       JSON by a schema
  gatefold run -m mixtral.gguf 'Is 91 prime?' --regex 'yes|no'
  gatefold run -m mixtral.gguf -f book.txt --prompt-cache book.cache   prefilled once, then kept";

/// Arguments of `gatefold run`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RunArgs {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    text: WordsArgs,

    /// Most tokens to make; -1 and -2 are up to the end of the context
    #[arg(short, long = "n-predict", value_name = "N", default_value_t = -1, allow_negative_numbers = true)]
    n_predict: i64,

    /// Continue the text as it is, without the model's chat template
    #[arg(long, conflicts_with_all = ["chat", "chat_template", "system"])]
    raw: bool,

    #[command(flatten)]
    template: TemplateArgs,

    /// Chat on the terminal
    #[arg(long)]
    chat: bool,

    /// System message of the chat
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    system: Option<String>,

    /// End the answer before this text; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    stop: Vec<String>,

    #[command(flatten)]
    form: FormArgs,

    #[command(flatten)]
    sampling: SamplingArgs,

    /// Type of the KV cache: f32, f16 or q8_0
    #[arg(long, value_name = "TYPE", default_value = "f16", value_parser = cache_format)]
    cache_type: &'static DynFormat,

    #[command(flatten)]
    prompt_cache: PromptCacheArgs,

    /// Put each token of the answer on the colour of its first expert in this layer [default: the one
    /// in the middle]
    #[arg(long, value_name = "LAYER", num_args = 0..=1, require_equals = true, conflicts_with = "json")]
    show_experts: Option<Option<usize>>,

    /// Print one JSON object instead of streaming the text
    #[arg(long, conflicts_with = "chat")]
    json: bool,
}

/// Completes a prompt, or chats.
pub fn run(args: RunArgs) -> Result<Outcome> {
    let max_tokens = match args.n_predict {
        -1 | -2 => None,
        0 => anyhow::bail!(
            "-n is 0, so there is nothing to generate; use 1 or more, or -1 for no limit"
        ),
        n if n < 0 => anyhow::bail!("-n is {n}; use 1 or more, or -1 for no limit"),
        n => Some(n as usize),
    };
    let sampling = args.sampling.resolve()?;
    let form = args.form.source()?;
    let text = args.text.resolve()?;
    let on_terminal = text.is_empty() && stdin().is_terminal() && !args.raw && !args.json;
    // A chat has signals from its line editor on, which takes Ctrl-C for itself when it is made.
    let interrupts = (!args.chat && !on_terminal).then(Interrupts::watch).transpose()?;
    let cache_format = Some(args.cache_type);
    let loaded = args.model.load(Use { cache_format, ..Use::default() })?;
    let shown_layer = args.show_experts.map(|layer| shown_layer(&loaded, layer)).transpose()?;
    let template = if args.raw { None } else { Some(args.template.resolve(&loaded)?) };
    // Where nothing tells a format, the model may be one that continues texts.
    let is_told = |template: &ChatTemplate| template.origin() != Origin::Fallback;
    let chats = args.chat || (on_terminal && template.as_ref().is_some_and(is_told));
    let template = template.filter(|template| chats || is_told(template));
    let form = form.map(|source| form::constraint(&loaded.language.tokenizer, &source));
    let mut session = Session {
        loaded: &loaded,
        engine: engine(&loaded, args.cache_type)?,
        sampling,
        form: form.transpose()?,
        max_tokens,
        stops: &args.stop,
        has_template: template.is_some(),
        shown_layer,
        interrupted: Arc::default(),
    };
    if chats {
        ensure!(
            args.prompt_cache.prompt_cache.is_none(),
            "--prompt-cache is for single prompts; give one with -p or -f, without --chat"
        );
        let template = template.expect("who chats has a template");
        tell_origin(&template);
        let first = if text.is_empty() { None } else { Some(text.read_first()?) };
        Chat::new(session, template, args.system).run(first)?;
        return Ok(Outcome::Done);
    }
    let interrupts = interrupts.map_or_else(Interrupts::watch, Ok)?;
    let text = text.read_prompt()?;
    let prompt = match template {
        Some(template) => chat_prompt(&loaded, &template, args.system, text)?,
        None => text_prompt(&loaded, args.raw, args.system.is_some(), &text)?,
    };
    // From here on an interrupt ends the answer; until then, it ends the program.
    session.interrupted = interrupts.heed();
    let prefix = || Ok(prompt.clone());
    args.prompt_cache.prepare(&mut session.engine, &loaded, prefix, &session.interrupted)?;
    if session.is_interrupted() {
        return Ok(Outcome::Interrupted);
    }
    if args.json {
        let generated = session.generate(&prompt, |_| Ok(()))?;
        writeln!(stdout().lock(), "{}", session.json(&prompt, &generated))?;
        session.remark(&generated).iter().for_each(print_note);
    } else {
        let generated = session.generate(&prompt, print_piece)?;
        writeln!(stdout().lock())?;
        session.remark(&generated).iter().for_each(print_note);
        print_note(session.summary(&generated));
    }
    Ok(if session.is_interrupted() { Outcome::Interrupted } else { Outcome::Done })
}

/// The layer whose experts are shown, if there are any.
fn shown_layer(loaded: &LoadedModel, layer: Option<usize>) -> Result<usize> {
    let Config { n_layers, n_experts, .. } = *loaded.language.model.config();
    ensure!(
        n_experts > 1,
        "--show-experts: there is nothing to route: the model has no experts to choose from"
    );
    let layer = layer.unwrap_or(n_layers / 2);
    ensure!(
        layer < n_layers,
        "--show-experts={layer}: there is no such layer, the model has {n_layers}, from 0 on"
    );
    let experts = (0..n_experts).map(|expert| paint(&format!(" {expert} "), expert));
    print_note(format_args!("experts of layer {layer}: {}", experts.collect::<String>()));
    Ok(layer)
}

/// A conversation that a text begins, as the template writes it.
fn chat_prompt(
    loaded: &LoadedModel,
    template: &ChatTemplate,
    system: Option<String>,
    text: String,
) -> Result<Vec<u32>> {
    tell_origin(template);
    let messages = chat::conversation(system, text);
    let prompt = template.prompt(&loaded.language.tokenizer, &messages)?;
    if let Some(why) = &prompt.folded {
        tell_folded("this conversation", why);
    }
    Ok(prompt.ids)
}

/// A text that is continued as it is.
fn text_prompt(
    loaded: &LoadedModel,
    is_raw: bool,
    has_system: bool,
    text: &str,
) -> Result<Vec<u32>> {
    ensure!(
        !has_system,
        "--system needs a chat template, and this model has none; --chat-template gives one"
    );
    if !is_raw {
        print_note(
            "note: the model has no chat template, and its vocabulary tells of none: the text is continued as it is (`chat_template` gives one)",
        );
    }
    Ok(loaded.language.tokenizer.encode_text(text)?)
}

fn engine(loaded: &LoadedModel, cache_format: &'static DynFormat) -> Result<Engine> {
    let options = Options {
        cache_format,
        context_len: loaded.context_len,
        max_batched_tokens: loaded.batch_len,
        ..Options::for_model(&loaded.language)
    };
    let memory_bytes = options.memory_bytes;
    let mut options = options.one_at_a_time(&loaded.language)?;
    if loaded.language.model.residence().is_some() {
        options.memory_bytes = options.memory_bytes.min(memory_bytes);
    }
    Ok(Engine::new(&loaded.language, Arc::clone(&loaded.compute), options)?)
}
