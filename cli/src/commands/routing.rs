//! `gatefold routing`.

use super::routing_experts::{self, ExpertArgs, Experts};
use super::routing_outputs::OutputArgs;
use crate::args::model::{LoadedModel, ModelArgs, Use};
use crate::args::stdin::await_stdin;
use crate::args::template::{TemplateArgs, tell_origin};
use crate::documents::{Documents, Fields, Wanted};
use crate::jobs::{Key, Outcome};
use crate::routing::{
    Analysis, Answers, Corpus, Kept, Reading, Settings, Source, check_apart, table,
};
use crate::terminal::interrupt::Interrupts;
use crate::terminal::print_note;
use crate::terminal::progress::{self, amount_bar, counter};
use anyhow::{Result, ensure};
use clap::{Args, value_parser};
use gatefold::engine::{Engine, NUMERICS_REVISION, Options};
use gatefold::model::{RandomRouters, Routes};
use gatefold::routing::{Counts, Reader, Report, Shape, unused};
use gatefold::text::{hex, printable};
use gatefold::tokenizer::{ChatTemplate, Origin};
use std::io::{self, IsTerminal, Write, stdout};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Tokens of a window, as those of `eval`.
const DEFAULT_WINDOW: usize = 512;

/// Seed of the random routers: chance is the same in every run.
const SEED: u64 = 0;

const EXAMPLES: &str = "\
Examples:
  gatefold routing -m mixtral.gguf code/ law/ letters/ --html routing.html    a folder for each domain
  gatefold routing -m mixtral.gguf corpus/                    the folders in it are the domains
  gatefold routing -m mixtral.gguf pile.jsonl --label-field set --counts pile.counts    resumable
  gatefold routing -m mixtral.gguf questions.jsonl --generate 200    where its answers go
  gatefold routing -m mixtral.gguf letters/ --ablate --similarity --json

The shares are of first choices unless it says otherwise; BOS is read and not counted. Documents
longer than a window (-c) go in several. `random` are routers of random weights that see the same
hidden states: what they separate, any projection of the states does. p says how probable a figure
as large is by chance.

Exit codes: 0, 2 if some texts could not be read, 1 if the run failed, 130 if Ctrl-C or SIGTERM ended
it; with --counts, the same command goes on from there.";

/// Arguments of `gatefold routing`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RoutingArgs {
    /// Files of text, Markdown, HTML, or JSONL with a text per line; folders of texts; `-` is stdin.
    /// Each is a domain; of one folder alone, each folder in it is
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    model: ModelArgs,

    /// Field of JSONL with the domain
    #[arg(long, value_name = "NAME")]
    label_field: Option<String>,

    /// Field of JSONL with the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    text_field: String,

    /// All texts are lines of JSONL, on stdin and in files of any name
    #[arg(long)]
    jsonl: bool,

    /// Take files with such names from folders, in place of texts. May be given several times
    #[arg(long, value_name = "PATTERN")]
    glob: Vec<String>,

    /// Count the model's answers to the texts, of up to so many tokens, in place of the texts. A model
    /// without a chat template continues them
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    generate: Option<u32>,

    #[command(flatten)]
    template: TemplateArgs,

    /// Keep the counts in this file, and go on from there
    #[arg(long, value_name = "FILE")]
    counts: Option<PathBuf>,

    /// Random routers beside each router, as what chance gives; 0 is none, and fewer than 39 allow no
    /// verdict
    #[arg(long, value_name = "N", default_value_t = 39, value_parser = value_parser!(u16).range(..=999))]
    random: u16,

    #[command(flatten)]
    of_experts: ExpertArgs,

    #[command(flatten)]
    outputs: OutputArgs,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Analyses where tokens go.
pub fn run(args: RoutingArgs) -> Result<Outcome> {
    ensure!(
        !args.paths.is_empty() || !io::stdin().is_terminal(),
        "there are no texts: name files or folders, or pipe a text in"
    );
    let interrupts = Interrupts::watch()?;
    args.of_experts.check(&args.paths)?;
    args.outputs.check(args.counts.as_deref())?;
    let loaded = args.model.load(Use {
        default_context: args.generate.is_none().then_some(DEFAULT_WINDOW),
        cache_format: Some(args.of_experts.cache_type),
        ..Use::default()
    })?;
    let config = loaded.language.model.config();
    let name = loaded.language.name()?;
    ensure!(
        config.n_experts > 1,
        "{}: there is nothing to route: the model has no experts to choose from, every token takes the same way (`gatefold inspect` shows what it consists of)",
        printable(loaded.language.gguf.path().display())
    );
    ensure!(loaded.context_len >= 8, "-c is {}; use 8 or more", loaded.context_len);
    let corpus = corpus(&args)?;
    let template = template(&args, &loaded)?;
    let n_domains = corpus.domains.len();
    let shape = Shape::new(config, loaded.language.model.n_vocab(), n_domains, args.random.into());
    let fingerprint = loaded.language.cache_fingerprint(loaded.context_len);
    let key = key(&args, &loaded, &fingerprint, &corpus, template.as_ref());
    let kept = Kept::open(args.counts.as_deref(), shape, key)?;
    if kept.counts.n_windows() > 0 {
        print_note(format_args!(
            "going on from {} tokens that were counted before",
            kept.counts.n_tokens()
        ));
    }
    let interrupted = interrupts.heed();
    let Some((counts, n_failed)) = read(&args, &loaded, &corpus, kept, template, &interrupted)?
    else {
        return Ok(Outcome::Interrupted);
    };
    let report = Report::new(&counts, &corpus.domains, &loaded.language.tokenizer);
    let Experts { similarity, ablation, is_whole } =
        routing_experts::measure(&args.of_experts, &loaded, &counts, &interrupted)?;
    let unused = unused(&counts.expert_tokens());
    let settings = Settings {
        version: env!("CARGO_PKG_VERSION"),
        fingerprint: hex(fingerprint),
        generate: args.generate,
        cache_type: args.of_experts.cache_type.name,
        seed: SEED,
    };
    let (window, answers) = (loaded.context_len, args.generate.is_some());
    let analysis =
        Analysis { model: name, settings, window, answers, report, unused, similarity, ablation };
    let written = args.outputs.write(&analysis);
    print(&args, &analysis)?;
    written?;
    let is_all = n_failed + corpus.faults.len() == 0;
    Ok(if is_whole { Outcome::of(is_all) } else { Outcome::Interrupted })
}

fn corpus(args: &RoutingArgs) -> Result<Corpus> {
    let outputs = [&args.counts, &args.outputs.html].into_iter().flatten().cloned();
    let wanted =
        Wanted { globs: args.glob.clone(), except: outputs.collect(), is_jsonl: args.jsonl };
    let fields =
        Fields { text: args.text_field.clone(), id: None, label: args.label_field.clone() };
    let stdin = [PathBuf::from("-")];
    let paths = if args.paths.is_empty() { &stdin[..] } else { &args.paths };
    if paths.contains(&stdin[0]) {
        await_stdin();
    }
    let documents = Documents::open(paths, &wanted, fields)?;
    if !documents.passed_over().is_empty() {
        print_note(documents.passed_over());
    }
    let bar = counter("texts found");
    let corpus = Corpus::new(documents, paths, || bar.inc(1))?;
    bar.finish_and_clear();
    for (id, fault) in &corpus.faults {
        print_note(format_args!("{} {fault}", printable(id)));
    }
    for (flag, path) in [("--counts", &args.counts), ("--html", &args.outputs.html)] {
        path.iter().try_for_each(|path| check_apart(&corpus, flag, path))?;
    }
    Ok(corpus)
}

/// How texts become questions, where answers are wanted.
fn template(args: &RoutingArgs, loaded: &LoadedModel) -> Result<Option<ChatTemplate>> {
    if args.generate.is_none() {
        return Ok(None);
    }
    let template = args.template.resolve(loaded)?;
    let is_told = template.origin() != Origin::Fallback;
    if is_told {
        tell_origin(&template);
    }
    Ok(Some(template).filter(|_| is_told))
}

fn options(args: &RoutingArgs, loaded: &LoadedModel) -> Options {
    Options {
        cache_format: args.of_experts.cache_type,
        context_len: loaded.context_len,
        max_batched_tokens: loaded.batch_len,
        ..Options::for_model(&loaded.language)
    }
}

/// Everything that counts depend on.
fn key(
    args: &RoutingArgs,
    loaded: &LoadedModel,
    fingerprint: &[u8; 32],
    corpus: &Corpus,
    template: Option<&ChatTemplate>,
) -> String {
    let (context, revision) = (loaded.context_len.to_le_bytes(), NUMERICS_REVISION.to_le_bytes());
    let n_predict = args.generate.unwrap_or(0).to_le_bytes();
    let answers = template.map(|it| Key::of_model(&loaded.language, it, &options(args, loaded)));
    let key = Key::of(&[
        ("model", fingerprint),
        ("revision", &revision),
        ("context", &context),
        ("cache", args.of_experts.cache_type.name.as_bytes()),
        ("texts", &corpus.digest),
        ("generate", &n_predict),
        ("answers", answers.as_ref().map_or(b"", |key| key.as_str().as_bytes())),
    ]);
    key.as_str().to_owned()
}

/// Reads the texts, or makes answers and reads them. Returns the counts and how many texts have none;
/// nothing if it was interrupted.
fn read(
    args: &RoutingArgs,
    loaded: &LoadedModel,
    corpus: &Corpus,
    kept: Kept,
    template: Option<ChatTemplate>,
    interrupted: &AtomicBool,
) -> Result<Option<(Counts, usize)>> {
    let LoadedModel { language, compute, context_len, batch_len, .. } = loaded;
    let source = match args.generate {
        None => Source::Texts(*context_len),
        Some(n_predict) => {
            let options = options(args, loaded);
            let max_running = options.max_running;
            Source::Answers(Box::new(Answers {
                language,
                engine: Engine::new(language, Arc::clone(compute), options)?,
                template,
                n_predict: n_predict as usize,
                max_running,
                context_len: *context_len,
            }))
        }
    };
    let config = language.model.config();
    let random = Arc::new(RandomRouters::new(config, args.random.into(), SEED));
    let lens = (*context_len, *batch_len);
    let reader = Reader::new(
        &language.model,
        compute,
        args.of_experts.cache_type,
        lens,
        Routes::beside(random),
    )?;
    let mut reading = Reading::new(language, corpus, source, reader, kept);
    let bar = amount_bar(corpus.n_bytes(), "bytes of text");
    let is_done = reading.run(interrupted, |n_bytes| bar.inc(n_bytes))?;
    progress::hide();
    for (idx, why) in &reading.failed {
        let id = &corpus.entries[*idx].id;
        print_note(format_args!("{}: {}", printable(id), printable(why)));
    }
    let counts = reading.kept.counts;
    if !is_done {
        let hint = if args.counts.is_some() { "; the same command goes on from there" } else { "" };
        print_note(format_args!("stopped with {} tokens counted{hint}", counts.n_tokens()));
        return Ok(None);
    }
    ensure!(counts.n_tokens() > 0, "there is nothing to count: the texts have no tokens");
    Ok(Some((counts, reading.failed.len())))
}

/// Prints what was found.
fn print(args: &RoutingArgs, analysis: &Analysis) -> Result<()> {
    let mut out = stdout().lock();
    if args.json {
        serde_json::to_writer(&mut out, analysis).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(table(analysis).as_bytes())?;
    }
    Ok(())
}
