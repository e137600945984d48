//! `gatefold summarize`.

use super::summarize_asked::{AskedArgs, one_of};
use super::summarize_notes as notes;
use super::summarize_preview as preview;
use crate::args::engine::{tell_disk_use, tell_template};
use crate::args::shard::{shard, tell_part, tell_unlucky};
use crate::documents::{Documents, Fault};
use crate::jobs::{Conditions, Outcome, Part, Shard, drive};
use crate::summarize::{Earlier, Form, Line, Output, Plan, Progress, Setup, Summarizer, files};
use crate::terminal::interrupt::Interrupts;
use crate::terminal::print_note;
use crate::terminal::progress::{self, RunProgress, RunState, describe_all, describe_left};
use anyhow::{Result, ensure};
use clap::Args;
use gatefold::engine::Engine;
use gatefold::text::{count, printable};
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
  gatefold summarize -m mixtral.gguf letters/ -o part-0.jsonl --shard 0/4   one machine of four
  curl https://example.org | gatefold summarize -m mixtral.gguf --language French

A line of the output: id, key, summary, model, prompt_tokens, summary_tokens, seconds,
finish_reason, n_parts; or id and error. With --schema, facts in place of summary. Documents longer than the context are summarized in parts,
and the summaries of these once more.

A run that was stopped, in whatever way, goes on where it stopped when the same command is given
again. Documents that have changed since are done again, and with another model, instruction or
sampling all are; what failed is tried again. Earlier summaries stay in the output until a run has
come to its end, and then only those go that have been replaced: one of a document that fails now
stays, beside the line with its error, and so does one whose file of --beside could not be replaced.

With --shard I/N, N machines summarize the same documents, each those whose id falls to it; `gatefold
merge` makes one file of theirs. Documents that are added later move none to another shard.

Some chat templates tell the model the date, which is the same for a whole run. A run that goes on
another day keeps the summaries there are and tells the new date for the rest; with --date it is
the same for all, and with another --date all documents are done again.

Exit codes: 0 if all documents are summarized, 2 if some failed (the output says why;
--ok-exit makes that 0), 1 if the run failed, 130 if Ctrl-C or SIGTERM ended it.";

/// Arguments of `gatefold summarize`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct SummarizeArgs {
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

    /// Do shard I of N (from 0) alone; auto is the task of Slurm's whole array, auto/N shard
    /// SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX of N. `gatefold merge` joins the outputs
    #[arg(long, value_name = "I/N", value_parser = shard, requires = "output")]
    shard: Option<Shard>,

    /// End with code 0 when all is done that can be, in place of 2 where documents failed for good:
    /// queues of jobs would try them again and again
    #[arg(long)]
    ok_exit: bool,

    /// List the documents, with their lengths in tokens, into how many parts they are cut, and
    /// whether -o has their summaries; summarize none. Nothing is written but that list
    #[arg(long)]
    dry_run: bool,

    /// List them as JSON, an object per line
    #[arg(long, requires = "dry_run")]
    json: bool,

    #[command(flatten)]
    asked: AskedArgs,
}

impl SummarizeArgs {
    /// The file with the results, unless they go to stdout.
    fn output_path(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| *path != Path::new("-"))
    }
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
        !args.asked.paths.is_empty() || !io::stdin().is_terminal(),
        "there are no documents: name files or folders, or pipe a text in"
    );
    ensure!(
        args.shard.is_none()
            || output_path.is_some_and(|path| args.format.of_file(path) == Form::Jsonl),
        "--shard needs a file with JSON lines, which `gatefold merge` joins; name one with -o"
    );
    let interrupts = Interrupts::watch()?;
    if let Some(path) = output_path.filter(|_| !args.dry_run) {
        Output::check(path, args.format)?;
    }
    let loaded = if args.dry_run { args.asked.engine.open()? } else { args.asked.engine.load()? };
    let options = args.asked.engine.options(&loaded);
    let template = args.asked.engine.chat_template(&loaded)?;
    let setup = args.asked.setup(&loaded, &template, &options)?;
    let outputs = output_path.into_iter().flat_map(|path| files(path, args.format));
    let documents = args.asked.documents(outputs)?;
    notes::tell_passed_over(&documents);
    let part = args.shard.map(|shard| {
        let of_model = Conditions::new("summaries", &loaded.language, &template, &options);
        Part::new(shard, setup.conditions(of_model))
    });
    let plan = args.asked.plan(&documents, &setup, part)?;
    let is_nothing = args.asked.paths.is_empty() && matches!(plan.faults[..], [(_, Fault::Empty)]);
    ensure!(
        !is_nothing || !plan.entries.is_empty(),
        "there are no documents: stdin is empty; name files or folders, or pipe a text in"
    );
    tell_part(plan.part.as_ref(), "document");
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
        args.asked.engine.prompt_cache.prepare(&mut engine, &loaded, prefix, &interrupted)?;
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
    let unwritten = work.into_output().finish(is_done, progress.n_unlucky == 0)?;
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
    tell_unlucky(args.shard, progress.n_unlucky, "document");
    Ok(Outcome::of(is_whole || args.ok_exit && progress.n_unlucky == 0))
}

/// Bytes of the documents that have no summary yet.
fn bytes_to_do(plan: &Plan, output: &Output<'_>) -> usize {
    let todo = plan.entries.iter().filter(|entry| !output.has(entry));
    todo.map(|entry| entry.n_bytes).sum()
}
