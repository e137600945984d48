//! `gatefold summarize`.

use super::summarize_notes as notes;
use super::summarize_preview as preview;
use crate::args::engine::{EngineArgs, tell_disk_use, tell_template};
use crate::args::form::{self, read_schema};
use crate::args::model::LoadedModel;
use crate::args::sampling::SamplingArgs;
use crate::args::stdin::await_stdin;
use crate::args::text::read_file;
use crate::documents::{Documents, Fault, Fields, Wanted};
use crate::jobs::{Key, Outcome, drive};
use crate::summarize::{
    Cutter, Earlier, Facts, Form, Length, Line, Output, Plan, Progress, PromptOptions, Setup,
    Summarizer, files,
};
use crate::terminal::interrupt::Interrupts;
use crate::terminal::print_note;
use crate::terminal::progress::{
    self, RunProgress, RunState, counter, describe_all, describe_left,
};
use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gatefold::engine::{Engine, Options};
use gatefold::grammar::Source;
use gatefold::text::{count, printable};
use gatefold::tokenizer::ChatTemplate;
use serde_json::Value;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  gatefold summarize -m mixtral.gguf report.txt --length sentence --format text
  gatefold summarize -m mixtral.gguf letters/ -o letters.jsonl          a folder, resumable
  gatefold summarize -m mixtral.gguf letters/ -o letters.jsonl --dry-run   what there is to do
  gatefold summarize -m mixtral.gguf . --glob '*.md' -o notes.md --format markdown
  gatefold summarize -m mixtral.gguf articles.jsonl --text-field body --id-field url -o out.jsonl
  gatefold summarize -m mixtral.gguf reports/ -o log.jsonl --beside --format text
  gatefold summarize -m mixtral.gguf mails/ -o facts.jsonl --schema mail.json   rows of facts
  gatefold summarize -m mixtral.gguf notes/ --template examples.txt --prompt-cache examples.cache
  curl https://example.org | gatefold summarize -m mixtral.gguf --language French

A line of the output: id, key, summary, model, prompt_tokens, summary_tokens, seconds,
finish_reason, n_parts; or id and error. With --schema, facts in place of summary. Documents longer than the context are summarized in parts,
and the summaries of these once more.

A run that was stopped, in whatever way, goes on where it stopped when the same command is given
again. Documents that have changed since are done again, and with another model, instruction or
sampling all are; what failed is tried again. Earlier summaries stay in the output until a run has
come to its end, and then only those go that have been replaced: one of a document that fails now
stays, beside the line with its error, and so does one whose file of --beside could not be replaced.

Some chat templates tell the model the date, which is the same for a whole run. A run that goes on
another day keeps the summaries there are and tells the new date for the rest; with --date it is
the same for all, and with another --date all documents are done again.

Exit codes: 0 if all documents are summarized, 2 if some failed (the output says why;
--ok-exit makes that 0), 1 if the run failed, 130 if Ctrl-C or SIGTERM ended it.";

/// Tokens that do for the facts of a text.
const DEFAULT_FACTS_TOKENS: usize = 512;

/// Arguments of `gatefold summarize`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SummarizeArgs {
    /// Files of text, Markdown, HTML, or JSONL with a document per line; folders of texts, of which
    /// files with other endings or none are counted on stderr, and hidden ones too; `-` is stdin, as it is where nothing is named and
    /// something is piped in
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Keep the summaries in this file, each as soon as it is finished; `-` is stdout [default: -]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How to write them; with -o, markdown and text are made of FILE.jsonl at the end. A FILE that
    /// is itself called .jsonl keeps JSON lines, and the form is that of the files of --beside
    #[arg(long, value_name = "FORM", value_parser = one_of(&Form::ALL), default_value = "jsonl")]
    format: Form,

    /// Write each summary beside its document too: report.txt.summary.txt. A file of that name is
    /// replaced only if it is an earlier summary of the document, as the results in -o have it.
    /// Documents from stdin and lines of JSONL have no such file
    #[arg(long, requires = "output")]
    beside: bool,

    /// Take files with such names from folders, in place of texts, or with such paths from the
    /// folder on if there is a slash; what lies in the folder has its own path, not that of a link
    /// to it. Files called like those of --beside are passed over. May be given several times
    #[arg(long, value_name = "PATTERN")]
    glob: Vec<String>,

    /// Field of JSONL with the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    text_field: String,

    /// Field of JSONL with the id, which all must have [default: id, or else the line's number]
    #[arg(long, value_name = "NAME")]
    id_field: Option<String>,

    /// All documents are lines of JSONL, on stdin and in files of any name; from folders, *.jsonl
    /// and *.ndjson are taken unless --glob says otherwise
    #[arg(long)]
    jsonl: bool,

    /// What to do with a text [default: Summarize this text.]
    #[arg(long, value_name = "TEXT")]
    instruction: Option<String>,

    /// Language of the summaries
    #[arg(long, value_name = "NAME")]
    language: Option<String>,

    /// Length of the summaries
    #[arg(long, value_name = "LENGTH", value_parser = one_of(&Length::ALL))]
    length: Option<Length>,

    /// Tell facts in place of a summary, as this file with a JSON Schema asks for them: lines of the
    /// output have them as `facts`. The model is shown the schema with the instruction
    #[arg(long, value_name = "FILE", conflicts_with = "length")]
    schema: Option<String>,

    /// File with the whole message to the model: {text} stands for the text, and {instruction},
    /// {language} and {length} for what is said here. {{text}} says {text}; any other name in a pair
    /// of braces is refused
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,

    /// End with code 0 when all is done that can be, in place of 2 where documents failed: queues of
    /// jobs would try them again and again
    #[arg(long)]
    ok_exit: bool,

    /// List the documents, with their lengths in tokens, into how many parts they are cut, and
    /// whether -o has their summaries; summarize none. Nothing is written but that list
    #[arg(long)]
    dry_run: bool,

    /// List them as JSON, an object per line
    #[arg(long, requires = "dry_run")]
    json: bool,

    /// Most tokens of a summary [default: 256, 96 for a sentence, 384 for bullets, 512 for facts; at
    /// most a quarter of the context]
    #[arg(short, long = "n-predict", value_name = "N")]
    n_predict: Option<usize>,

    #[command(flatten)]
    sampling: SamplingArgs,

    #[command(flatten)]
    engine: EngineArgs,
}

impl SummarizeArgs {
    /// The file with the results, unless they go to stdout.
    fn output_path(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| *path != Path::new("-"))
    }
}

/// Takes one of these names for what it names.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|&(name, _)| name)).try_map(move |name| {
        let found = all.iter().find(|&&(known, _)| known == name);
        found.map(|&(_, value)| value).ok_or("there is no such name")
    })
}

/// Summarizes documents.
pub fn run(args: SummarizeArgs) -> Result<Outcome> {
    let output_path = args.output_path();
    ensure!(
        output_path.is_some() || !args.beside,
        "--beside needs a file with all results; name one with -o"
    );
    if let Some(path) = output_path {
        let is_lost = args.format.of_file(path) != args.format && !args.beside;
        ensure!(
            !is_lost,
            "{} is called like JSON lines, and --format asks for something else; name a file of another ending with -o, beside which the JSON lines are kept, or leave --format out",
            printable(path.display())
        );
    }
    ensure!(
        !args.paths.is_empty() || !io::stdin().is_terminal(),
        "there are no documents: name files or folders, or pipe a text in"
    );
    let interrupts = Interrupts::watch()?;
    if let Some(path) = output_path.filter(|_| !args.dry_run) {
        Output::check(path, args.format)?;
    }
    let loaded = if args.dry_run { args.engine.open()? } else { args.engine.load()? };
    let options = args.engine.options(&loaded);
    let template = args.engine.chat_template(&loaded)?;
    let setup = setup(&args, &loaded, &template, &options)?;
    let documents = documents(&args)?;
    notes::tell_passed_over(&documents);
    let plan = plan(&documents, &setup)?;
    let is_nothing = args.paths.is_empty() && matches!(plan.faults[..], [(_, Fault::Empty)]);
    ensure!(
        !is_nothing || !plan.entries.is_empty(),
        "there are no documents: stdin is empty; name files or folders, or pipe a text in"
    );
    notes::tell_readings(&plan);
    if args.dry_run {
        let output = Output::look(&documents, &plan, output_path, args.format, args.beside)?;
        let is_whole = preview::list(&documents, &plan, &setup.cutter, &output, args.json)?;
        return Ok(Outcome::of(is_whole || args.ok_exit));
    }
    let (output, earlier) = Output::open(&documents, &plan, output_path, args.format, args.beside)?;
    notes::tell_earlier(&earlier, plan.n_documents());
    if args.beside {
        notes::tell_without_file(&documents, &plan);
    }

    tell_template(&template);
    let interrupted = interrupts.heed();
    let mut engine = Engine::new(&loaded.language, Arc::clone(&loaded.compute), options)?;
    if plan.entries.iter().any(|entry| !output.has(entry)) {
        let prefix = || Ok(setup.cutter.common_prefix()?);
        args.engine.prompt_cache.prepare(&mut engine, &loaded, prefix, &interrupted)?;
    }
    let outcome =
        work(&args, setup, &documents, &plan, (output, earlier), &mut engine, &interrupted)?;
    tell_disk_use(&loaded, &engine);
    Ok(outcome)
}

/// Makes the summaries that the output does not have, and says how that went.
fn work(
    args: &SummarizeArgs,
    setup: Setup<'_>,
    documents: &Documents,
    plan: &Plan,
    (output, earlier): (Output<'_>, Earlier),
    engine: &mut Engine,
    interrupted: &AtomicBool,
) -> Result<Outcome> {
    let start = Instant::now();
    let n_documents = plan.n_documents();
    let (n_before, n_cut_off_before) = (earlier.n_done, earlier.n_cut_off);
    let n_bytes = bytes_to_do(plan, &output);
    let (max_tokens, max_part_tokens) = (setup.cutter.max_tokens(), setup.cutter.max_part_tokens());
    let mut shown = RunProgress::new(n_documents, "documents");
    let mut on_progress = |progress: Progress, lines: &[Line]| {
        notes::tell_failed(&shown, lines);
        shown.update(&RunState {
            n_done: n_before + progress.n_done,
            n_failed: progress.n_failed,
            tokens: progress.tokens,
            part: progress.part(n_bytes),
        });
    };
    let mut work = Summarizer::new(setup, documents, plan, (output, earlier), &mut on_progress);
    let is_done = drive(&mut work, engine, interrupted)?;
    let progress = work.progress();
    let truncations = work.truncations().clone();
    let unwritten = work.into_output().finish(is_done)?;
    progress::hide();

    unwritten.iter().for_each(print_note);
    notes::tell_truncations(&truncations, max_part_tokens);
    let n_done = n_before + progress.n_done;
    if !is_done {
        let left = describe_left(progress.n_failed, n_documents - n_done - progress.n_failed);
        let hint =
            if args.output_path().is_some() { "; the same command goes on from there" } else { "" };
        print_note(format_args!(
            "stopped with {n_done} of {n_documents} documents done{left}{hint}"
        ));
        return Ok(Outcome::Interrupted);
    }
    notes::tell_cut_off(n_cut_off_before + progress.n_cut_off, n_done, max_tokens);
    print_note(format_args!(
        "{}, {} of them failed; {}",
        count(n_documents, "document"),
        progress.n_failed,
        describe_all(progress.tokens, start.elapsed())
    ));
    let is_whole = progress.n_failed == 0 && unwritten.is_empty();
    Ok(Outcome::of(is_whole || args.ok_exit))
}

/// Bytes of the documents that have no summary yet.
fn bytes_to_do(plan: &Plan, output: &Output<'_>) -> usize {
    let todo = plan.entries.iter().filter(|entry| !output.has(entry));
    todo.map(|entry| entry.n_bytes).sum()
}

fn documents(args: &SummarizeArgs) -> Result<Documents> {
    let outputs = args.output_path().into_iter().flat_map(|path| files(path, args.format));
    let others =
        [&args.template, &args.engine.prompt_cache.prompt_cache].into_iter().flatten().cloned();
    let wanted = Wanted {
        globs: args.glob.clone(),
        except: outputs.chain(others).collect(),
        is_jsonl: args.jsonl,
    };
    let (text, id) = (args.text_field.clone(), args.id_field.clone());
    let fields = Fields { text, id, label: None };
    let stdin = [PathBuf::from("-")];
    let paths = if args.paths.is_empty() { &stdin[..] } else { &args.paths };
    if paths.contains(&stdin[0]) {
        await_stdin();
    }
    Ok(Documents::open(paths, &wanted, fields)?)
}

fn plan(documents: &Documents, setup: &Setup<'_>) -> Result<Plan> {
    let bar = counter("documents found");
    let basis = setup.basis();
    let plan = Plan::new(documents, |id, text| {
        bar.inc(1);
        setup.key(&basis, id, text)
    });
    bar.finish_and_clear();
    Ok(plan?)
}

fn setup<'a>(
    args: &SummarizeArgs,
    loaded: &'a LoadedModel,
    chat: &ChatTemplate,
    options: &Options,
) -> Result<Setup<'a>> {
    for (flag, text) in [("--instruction", &args.instruction), ("--language", &args.language)] {
        let is_blank = text.as_ref().is_some_and(|text| text.trim().is_empty());
        ensure!(!is_blank, "{flag} is blank; say something, or leave it out");
    }
    let template = args.template.as_deref().map(read_file).transpose()?;
    let schema = args.schema.as_deref().map(read_schema).transpose()?;
    let prompt_options = PromptOptions {
        instruction: args.instruction.clone(),
        language: args.language.clone(),
        length: args.length,
        schema: schema.as_ref().map(Value::to_string),
        template,
    };
    let facts = schema.map(Source::JsonSchema).map(|source| {
        let constraint = form::constraint(&loaded.language.tokenizer, &source)?;
        anyhow::Ok(Facts { constraint, source })
    });
    let model_key = Key::of_model(&loaded.language, chat, options);
    let prompts = prompt_options.prompts(chat.clone()).context("--template")?;
    notes::tell_places(&prompt_options);
    let default_tokens = match facts {
        None => Length::default_tokens(args.length),
        Some(_) => DEFAULT_FACTS_TOKENS,
    };
    let default_tokens = default_tokens.min(options.context_len / 4);
    let max_tokens = args.n_predict.unwrap_or(default_tokens);
    ensure!(max_tokens > 0, "-n is {max_tokens}, so there would be no summaries; use 1 or more");
    Ok(Setup {
        cutter: Cutter::new(&loaded.language.tokenizer, prompts, options.context_len, max_tokens)?,
        sampling: args.sampling.resolve_or(0.0, 0)?,
        facts: facts.transpose().context("--schema")?,
        model_name: loaded.language.name()?,
        model_key,
        max_running: options.max_running,
    })
}
