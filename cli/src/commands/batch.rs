//! `gatefold batch`.

use crate::args::engine::{EngineArgs, tell_disk_use, tell_template};
use crate::args::model::LoadedModel;
use crate::args::shard::{shard, tell_part, tell_unlucky};
use crate::args::stdin::await_stdin;
use crate::args::template::tell_folded;
use crate::batch::{Batch, Found, Input, Progress, Setup, Terms};
use crate::jobs::{Conditions, JobSource, Key, Outcome, Part, Results, Shard, Sink, drive};
use crate::openai::{Forms, Prompts};
use crate::terminal::interrupt::Interrupts;
use crate::terminal::print_note;
use crate::terminal::progress::{self, RunProgress, RunState, describe_all, describe_left};
use anyhow::{Result, ensure};
use clap::{Args, value_parser};
use gatefold::engine::{Engine, Options};
use gatefold::text::{count, printable};
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  gatefold batch -m mixtral.gguf requests.jsonl -o answers.jsonl
  gatefold batch -m mixtral.gguf < requests.jsonl > answers.jsonl   cannot be resumed
  gatefold batch -m mixtral.gguf requests.jsonl -o part-0.jsonl --shard 0/4   one machine of four

A line of INPUT, as OpenAI's batches have them (here on two):
  {\"custom_id\": \"1\", \"method\": \"POST\", \"url\": \"/v1/chat/completions\", \"body\":
   {\"messages\": [{\"role\": \"user\", \"content\": \"Name three rivers.\"}], \"max_tokens\": 100}}

A run that was stopped, in whatever way, goes on where it stopped when the same command is given
again. Requests that have changed since are done again, and with another model all are. Earlier
answers stay in the output until a run comes to its end, and then each request has one line: its
answer, or what is wrong with it. Answers to requests that the input does not have stay for good.

With --shard I/N, N machines answer the requests of one file, each those whose custom_id falls to it;
`gatefold merge` makes one file of theirs. Requests that are added later move none to another shard.

Some chat templates tell the model the date, which is the same for a whole run. A run that goes on
another day keeps the answers there are and tells the new date for the rest; with --date it is the
same for all, and with another --date all requests are done again.

Exit codes: 0 if all requests were answered, 2 if some were not (their lines say why; --ok-exit makes
that 0 unless the same command may have more luck with some), 1 if the run failed, 130 if Ctrl-C or SIGTERM ended it.";

/// Arguments of `gatefold batch`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct BatchArgs {
    /// The requests, a JSON object per line, to /v1/chat/completions, /v1/completions or
    /// /v1/responses; `-` is stdin, as it is where nothing is named and something is piped in
    input: Option<PathBuf>,

    /// Append the answers to this file, each as soon as it is finished [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Most tokens of an answer in a chat where the request does not say [default: up to the end of
    /// the context]
    #[arg(short, long = "n-predict", value_name = "N", value_parser = value_parser!(u32).range(1..))]
    n_predict: Option<u32>,

    /// Do shard I of N (from 0) alone; auto is the task of Slurm's whole array, auto/N shard
    /// SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX of N. `gatefold merge` joins the outputs
    #[arg(long, value_name = "I/N", value_parser = shard, requires = "output")]
    shard: Option<Shard>,

    /// Answer requests alone whose model is called so, or that name none, and refuse the others
    /// [default: all are answered, under the name that they ask for]
    #[arg(long, value_name = "NAME")]
    model_name: Option<String>,

    /// End with code 0 when all is done that can be, in place of 2 where requests are at fault: queues
    /// of jobs would try them again and again
    #[arg(long)]
    ok_exit: bool,

    #[command(flatten)]
    engine: EngineArgs,
}

/// Answers a batch.
pub fn run(args: BatchArgs) -> Result<Outcome> {
    ensure!(
        args.input.is_some() || !io::stdin().is_terminal(),
        "there are no requests: name a file with them, or pipe them in"
    );
    let interrupts = Interrupts::watch()?;
    if let Some(path) = &args.output {
        Results::check(path)?;
    }
    let input = args.input.as_deref().unwrap_or(Path::new("-"));
    if input == Path::new("-") {
        await_stdin();
    }
    let input = Input::open(input)?;
    let loaded = args.engine.load()?;
    let options = args.engine.options(&loaded);
    let template = args.engine.chat_template(&loaded)?;
    let forms = Forms::new(Arc::clone(&loaded.language.tokenizer));
    let prompts =
        Prompts { tokenizer: &loaded.language.tokenizer, template: &template, forms: &forms };
    let max_tokens = args.n_predict.map(|n_tokens| n_tokens as usize);
    let setup = setup(&loaded, prompts, &options, max_tokens, args.model_name.clone())?;
    let part = args.shard.map(|shard| {
        let [max_tokens, model_name] =
            [format!("{max_tokens:?}"), format!("{:?}", args.model_name)];
        let conditions = Conditions::new("answers", &loaded.language, &template, &options)
            .with("-n", max_tokens.as_bytes())
            .with("--model-name", model_name.as_bytes());
        Part::new(shard, conditions)
    });
    let plan = input.plan_of(&setup.terms, part)?;
    ensure!(
        args.input.is_some() || plan.n_all() > 0,
        "there are no requests: stdin is empty; name a file with them, or pipe them in"
    );
    let (sink, found) = match &args.output {
        Some(path) => {
            let (results, found) = Found::open(path, &plan)?;
            (Sink::File(results), found)
        }
        None => (Sink::Stdout, Found::default()),
    };
    let n_requests = plan.items.len();
    tell_part(plan.part.as_ref(), "request");
    tell(&found, n_requests);

    tell_template(&template);
    let interrupted = interrupts.heed();
    let mut engine = Engine::new(&loaded.language, Arc::clone(&loaded.compute), options)?;
    let n_todo = n_requests - found.n_done;
    // Begins with the work, behind the reading for the prompt cache.
    let mut shown = None;
    let mut on_progress = |Progress { n_done, n_failed, tokens, .. }: Progress| {
        let part = (n_done + n_failed) as f64 / n_todo as f64;
        let shown = shown.get_or_insert_with(|| RunProgress::new(n_requests, "requests"));
        shown.update(&RunState { n_done: found.n_done + n_done, n_failed, tokens, part });
    };
    let mut batch = Batch::new(setup, input, &plan, sink, &mut on_progress);
    if !batch.is_submitted() {
        let prefix = || Ok(batch.common_prefix()?);
        args.engine.prompt_cache.prepare(&mut engine, &loaded, prefix, &interrupted)?;
    }
    let start = Instant::now();
    let is_done = drive(&mut batch, &mut engine, &interrupted)?;
    let Progress { n_done, n_refused, n_failed, n_folded, n_empty, tokens } = batch.progress();
    progress::hide();
    if let Some(why) = batch.folded() {
        tell_folded(&count(n_folded, "conversation"), why);
    }
    if n_empty > 0 {
        print_note(format_args!("note: answers that are empty: {n_empty}"));
    }

    let mut reasons = found.reasons;
    reasons.absorb(batch.reasons());
    if reasons.n_requests() > 0 {
        print_note(printable(&reasons));
    }
    let (n_done, n_refused) = (found.n_done + n_done, found.n_refused + n_refused);
    if !is_done {
        let hint = if args.output.is_some() { "; the same command goes on from there" } else { "" };
        let left = describe_left(n_failed, n_requests - n_done - n_failed);
        print_note(format_args!("stopped with {n_done} of {n_requests} requests done{left}{hint}"));
        return Ok(Outcome::Interrupted);
    }
    batch.drop_replaced()?;
    let failed = if n_failed > 0 { format!(", {n_failed} failed") } else { String::new() };
    print_note(format_args!(
        "{}, {n_refused} of them refused{failed}; {}",
        count(n_requests, "request"),
        describe_all(tokens, start.elapsed())
    ));
    tell_disk_use(&loaded, &engine);
    tell_unlucky(args.shard, n_failed, "request");
    Ok(Outcome::of(n_failed == 0 && (n_refused == 0 || args.ok_exit)))
}

/// How requests are answered by a model.
pub(super) fn setup<'a>(
    loaded: &LoadedModel,
    prompts: Prompts<'a>,
    options: &Options,
    max_tokens: Option<usize>,
    model_name: Option<String>,
) -> Result<Setup<'a>> {
    Ok(Setup {
        model_name: model_name.clone().map_or_else(|| loaded.language.name(), Ok)?,
        terms: Terms {
            basis: Key::of_model(&loaded.language, prompts.template, options),
            max_tokens,
            model_name,
        },
        max_running: options.max_running,
        prompts,
    })
}

/// Says what an earlier run left.
fn tell(found: &Found, n_requests: usize) {
    let Found { n_done, n_refused, n_changed, n_retried, n_others, .. } = *found;
    if n_done > 0 {
        let refused =
            if n_refused > 0 { format!(", {n_refused} of them refused") } else { String::new() };
        print_note(format_args!(
            "going on where an earlier run stopped: {n_done} of {n_requests} requests are done{refused}"
        ));
    }
    if n_changed > 0 {
        print_note(format_args!(
            "requests done again, since they or the model have changed: {n_changed}"
        ));
    }
    if n_retried > 0 {
        print_note(format_args!(
            "requests tried again, since they failed through no fault of their own: {n_retried}"
        ));
    }
    if n_others > 0 {
        print_note(format_args!(
            "answers left in the output whose requests are not in the input: {n_others}"
        ));
    }
}
