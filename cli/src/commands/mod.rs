//! The command line: one file per subcommand, arguments in, a resolved job out.
//!
//! Names and short flags follow llama.cpp's. Data goes to stdout, progress and errors to stderr.

pub mod batch;
pub mod bench;
mod chat;
mod colouring;
pub mod completions;
pub mod eval;
pub mod health;
mod ids;
pub mod imatrix;
pub mod inspect;
pub mod list;
pub mod man;
pub mod merge;
pub mod pull;
pub mod quantize;
mod quantize_calibrate;
pub mod rm;
pub mod routing;
mod routing_experts;
mod routing_outputs;
pub mod run;
pub mod serve;
mod session;
pub mod summarize;
mod summarize_asked;
mod summarize_notes;
mod summarize_preview;
pub mod tokenize;
pub mod verify;
mod verify_rows;

use crate::args::environment::{self, Environment};
use crate::args::foreign::{Translated, translate};
use crate::flags::name_flags;
use crate::jobs::Outcome;
use crate::terminal::{interrupt, print_note};
use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use gatefold::text::one_line;
use std::env;
use std::ffi::OsString;
use std::io;
use std::process::{ExitCode, Termination};

/// Runs Mixtral and its relatives on CPUs, straight from GGUF files.
#[derive(Parser)]
#[command(name = "gatefold", version, about, propagate_version = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Subcommand)]
pub enum Command {
    /// Complete a prompt, or chat
    Run(run::RunArgs),
    /// Summarize files, folders or JSONL
    Summarize(summarize::SummarizeArgs),
    /// Answer a file of requests in OpenAI's batch format
    Batch(batch::BatchArgs),
    /// Join the results of shards, once they are seen to be whole
    Merge(merge::MergeArgs),
    /// Compute some results again, and compare every bit
    Verify(verify::VerifyArgs),
    /// Answer requests over HTTP, in the form of OpenAI's API
    Serve(serve::ServeArgs),
    /// Ask a server whether it is ready
    Health(health::HealthArgs),
    /// Say what a GGUF holds, and whether it will run here
    Inspect(inspect::InspectArgs),
    /// Turn text into token ids, and back
    Tokenize(tokenize::TokenizeArgs),
    /// Measure perplexity and the distance between two models, or write logits
    Eval(eval::EvalArgs),
    /// Show which expert does what, on texts of your own
    Routing(routing::RoutingArgs),
    /// Find out from a text how much each weight counts, for `quantize`
    Imatrix(imatrix::ImatrixArgs),
    /// Make a quantized GGUF from a checkpoint or from another GGUF
    Quantize(quantize::QuantizeArgs),
    /// Measure the speed, beside what the machine can do at most
    Bench(bench::BenchArgs),
    /// Fetch a model by name, or list names
    Pull(pull::PullArgs),
    /// List the models that are here
    List(list::ListArgs),
    /// Remove a model that is here
    Rm(rm::RmArgs),
    /// Print a script by which a shell completes commands and flags
    Completions(completions::CompletionsArgs),
    /// Print manual pages
    Man(man::ManArgs),
}

/// The command that arguments and environment ask for, or the exit code once help or an error is
/// printed.
pub fn parse() -> Result<(Command, Environment), ExitCode> {
    understand(env::args_os().collect()).map_err(|error| match error.downcast::<clap::Error>() {
        Ok(error) => {
            // Nobody may be reading: no reason to fail, or to fail otherwise.
            let _ = error.print();
            if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(error) => exit_code(Err::<(), _>(error), &Environment::default()),
    })
}

fn understand(arguments: Vec<OsString>) -> Result<(Command, Environment)> {
    let program = Cli::command();
    let Translated { arguments, notes, .. } = translate(arguments, &program)?;
    let (matches, environment) = environment::parse(&program, arguments)?;
    notes.iter().for_each(print_note);
    Ok((Cli::from_arg_matches(&matches)?.command, environment))
}

impl Termination for Outcome {
    fn report(self) -> ExitCode {
        match self {
            Outcome::Done => ExitCode::SUCCESS,
            Outcome::SomeFailed => ExitCode::from(2),
            Outcome::Interrupted => ExitCode::from(interrupt::INTERRUPTED),
        }
    }
}

/// The exit code of what came out. Prints the error, if there is one, as a single line; success is a
/// closed stdout too, since the reader that closed it (`| head`) has all it wanted.
pub fn exit_code(result: Result<impl Termination>, environment: &Environment) -> ExitCode {
    let error = match result {
        Ok(outcome) => return outcome.report(),
        Err(error) => error,
    };
    let closed_stdout = error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe);
    if closed_stdout {
        return ExitCode::SUCCESS;
    }
    let message = name_flags(one_line(format!("{error:#}")));
    print_note(format_args!("error: {message}{}", environment.named_in(&message)));
    ExitCode::FAILURE
}
