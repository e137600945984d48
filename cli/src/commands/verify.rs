//! `gatefold verify`.

use super::batch;
use super::summarize_asked::AskedArgs;
use super::verify_rows::{Compared, Rows, Sample};
use crate::args::model::LoadedModel;
use crate::batch::{BEGINNING, Batch, Found, Input, Progress as BatchProgress, for_each_answer};
use crate::jobs::{JobSource, Lines, MOST_LINE_BYTES, Outcome, SEAL_START, Sink, drive};
use crate::openai::{Forms, Prompts};
use crate::summarize::{Form, Line, Output, Progress, Summarizer, for_each_summary};
use crate::terminal::interrupt::Interrupts;
use crate::terminal::print_note;
use crate::terminal::progress::{self, RunProgress, RunState};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use gatefold::engine::{Engine, Options};
use gatefold::text::{count, printable};
use gatefold::tokenizer::ChatTemplate;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const EXAMPLES: &str = "\
Examples:
  gatefold verify answers.jsonl requests.jsonl -m mixtral.gguf
  gatefold verify answers.jsonl requests.jsonl -m mixtral.gguf --sample 20 --salt 'second look'
  gatefold verify letters.jsonl letters/ -m mixtral.gguf --sample 100%

RESULTS are those of `gatefold batch`, `gatefold summarize`, one of their shards, or `gatefold merge`.
The rest is what they were made of: the same requests or documents, and the same flags (-n, -c,
--instruction ...), on any machine, with any number of threads. The rows that are picked are computed
again and compared as a whole but for times: texts, log probabilities, and of answers the hash of the
last logits, so that no bit may differ. Rows that are not the same are printed, a line each.

Lines that say why a document failed, and those of requests that failed through no fault of their own,
are no results: they are counted, and so is what the input has and RESULTS has not. Where the chat
template tells the model the date, only results of today or of a run with --date can be the same.

Exit codes: 0 if all are the same, 1 if one is not or cannot be computed, 130 if Ctrl-C or SIGTERM ended
it.";

/// Arguments of `gatefold verify`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// The results, as JSON lines
    #[arg(value_name = "RESULTS")]
    results: PathBuf,

    /// How many rows are computed again: a part of all, or a number
    #[arg(long, value_name = "SAMPLE", default_value = "1%")]
    sample: Sample,

    /// Any text: with another one, other rows are picked
    #[arg(long, value_name = "TEXT", default_value = "")]
    salt: String,

    /// Where the batch was answered with --model-name, the same
    #[arg(long, value_name = "NAME")]
    model_name: Option<String>,

    #[command(flatten)]
    asked: AskedArgs,
}

/// Computes results again.
pub fn run(args: VerifyArgs) -> Result<Outcome> {
    let path = &args.results;
    let interrupts = Interrupts::watch()?;
    let is_of_batch = is_of_batch(path)?;
    let mut rows = Rows::pick(args.sample, &args.salt, |see| match is_of_batch {
        true => for_each_answer(path, see),
        false => for_each_summary(path, see),
    })?;
    ensure!(rows.n_all() > 0, "{} has no results to compute again", printable(path.display()));
    let engine_args = &args.asked.engine;
    let loaded = engine_args.load()?;
    let options = engine_args.options(&loaded);
    let template = engine_args.chat_template(&loaded)?;
    let folder = tempfile::tempdir().context("making a folder for what is computed")?;
    let again = folder.path().join("again.jsonl");
    let interrupted = interrupts.heed();
    let mut job = Job {
        args: &args,
        loaded: &loaded,
        template: &template,
        again: &again,
        interrupted: &interrupted,
        engine: Engine::new(&loaded.language, Arc::clone(&loaded.compute), options.clone())?,
        options,
    };
    let is_done = if is_of_batch { job.answer(&mut rows)? } else { job.summarize(&mut rows)? };
    progress::hide();
    if !is_done {
        print_note("stopped before all was computed; nothing is said of any row");
        return Ok(Outcome::Interrupted);
    }
    let mut take = |key, text: &[u8]| rows.take(key, text);
    match is_of_batch {
        true => for_each_answer(&again, &mut take)?,
        false => for_each_summary(&again, &mut take)?,
    };
    tell_not_seen(&rows);
    let all = count(rows.n_all(), "row");
    let Compared { n_other, n_unknown } = rows.compare()?;
    let n_computed = rows.n_picked() - n_unknown;
    ensure!(
        n_computed > 0,
        "of {all} of {} none was computed again: those picked do not come of this input, this model and these settings; name the same input, and give the same flags (-n, -c, --instruction ...)",
        printable(path.display())
    );
    let unknown = match n_unknown {
        0 => String::new(),
        _ => format!(
            ", and {n_unknown} more do not come of this input, this model and these settings"
        ),
    };
    let is_dated = n_other > 0 && template.asks_for_date() && template.given_date().is_none();
    let dated = if is_dated {
        "; the chat template tells the model the date, so what was made on another day without --date is another today"
    } else {
        ""
    };
    ensure!(
        n_other + n_unknown == 0,
        "of {all} of {} {n_computed} were computed again, and {n_other} are not the same{unknown}{dated}",
        printable(path.display())
    );
    print_note(format_args!("of {all} {n_computed} were computed again: every bit is the same"));
    Ok(Outcome::Done)
}

/// Says of how many rows nothing is said.
fn tell_not_seen(rows: &Rows) {
    if rows.n_failed > 0 {
        print_note(format_args!("lines without an answer, not looked at: {}", rows.n_failed));
    }
    if rows.n_missing > 0 {
        print_note(format_args!("rows of the input that have no result there: {}", rows.n_missing));
    }
}

/// Whether a file has answers to a batch; else it has summaries, or is refused.
fn is_of_batch(path: &Path) -> Result<bool> {
    let failed = || format!("{} cannot be read", printable(path.display()));
    let file = File::open(path).with_context(failed)?;
    for line in Lines::new(BufReader::new(file), MOST_LINE_BYTES) {
        let line = line.with_context(failed)?;
        let text = line.bytes();
        if !text.trim_ascii().is_empty() && !text.starts_with(SEAL_START.as_bytes()) {
            return Ok(text.starts_with(BEGINNING.as_bytes()));
        }
    }
    Ok(false)
}

/// Rows that are computed again.
struct Job<'a> {
    args: &'a VerifyArgs,
    loaded: &'a LoadedModel,
    template: &'a ChatTemplate,
    options: Options,
    engine: Engine,
    /// Where they go.
    again: &'a Path,
    interrupted: &'a AtomicBool,
}

impl Job<'_> {
    /// Answers requests again; returns whether it came to its end.
    fn answer(&mut self, rows: &mut Rows) -> Result<bool> {
        let Job { args, loaded, template, ref options, again, interrupted, .. } = *self;
        let asked = &args.asked;
        if let Some(flag) = asked.flag_of_summaries() {
            bail!(
                "{flag} is for summaries, and {} has answers to a batch",
                printable(args.results.display())
            );
        }
        let [input] = &asked.paths[..] else {
            bail!("name the file of requests behind that of their answers");
        };
        let input = Input::open(input)?;
        let forms = Forms::new(Arc::clone(&loaded.language.tokenizer));
        let prompts = Prompts { tokenizer: &loaded.language.tokenizer, template, forms: &forms };
        let setup =
            batch::setup(loaded, prompts, options, asked.n_predict, args.model_name.clone())?;
        let mut plan = input.plan(&setup.terms)?;
        plan.items.retain(|item| rows.meet(&item.key));
        let (results, _) = Found::open(again, &plan)?;
        let n_picked = rows.n_picked();
        let mut shown = RunProgress::new(n_picked, "rows");
        let mut on_progress = |BatchProgress { n_done, n_failed, tokens, .. }: BatchProgress| {
            let part = (n_done + n_failed) as f64 / n_picked as f64;
            shown.update(&RunState { n_done, n_failed, tokens, part });
        };
        let mut work = Batch::new(setup, input, &plan, Sink::File(results), &mut on_progress);
        if !work.is_submitted() {
            let prefix = || Ok(work.common_prefix()?);
            asked.engine.prompt_cache.prepare(&mut self.engine, loaded, prefix, interrupted)?;
        }
        Ok(drive(&mut work, &mut self.engine, interrupted)?)
    }

    /// Summarizes documents again; returns whether it came to its end.
    fn summarize(&mut self, rows: &mut Rows) -> Result<bool> {
        let Job { args, loaded, template, ref options, again, interrupted, .. } = *self;
        let asked = &args.asked;
        ensure!(
            args.model_name.is_none(),
            "--model-name is for answers to a batch, and {} has summaries",
            printable(args.results.display())
        );
        ensure!(!asked.paths.is_empty(), "name the documents behind the file of their summaries");
        let setup = asked.setup(loaded, template, options)?;
        let documents = asked.documents([args.results.clone()].into_iter())?;
        let mut plan = asked.plan(&documents, &setup, None)?;
        plan.keep(|key| rows.meet(key));
        let output = Output::open(&documents, &plan, Some(again), Form::Jsonl, false)?;
        let n_bytes = plan.entries.iter().map(|entry| entry.n_bytes).sum();
        let mut shown = RunProgress::new(rows.n_picked(), "rows");
        let mut on_progress = |progress: Progress, _: &[Line]| {
            let Progress { n_done, n_failed, tokens, .. } = progress;
            shown.update(&RunState { n_done, n_failed, tokens, part: progress.part(n_bytes) });
        };
        if !plan.entries.is_empty() {
            let prefix = || Ok(setup.cutter.common_prefix()?);
            asked.engine.prompt_cache.prepare(&mut self.engine, loaded, prefix, interrupted)?;
        }
        let mut work = Summarizer::new(setup, &documents, &plan, output, &mut on_progress);
        Ok(drive(&mut work, &mut self.engine, interrupted)?)
    }
}
