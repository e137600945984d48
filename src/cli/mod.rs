//! The command line: one file per subcommand, arguments in, a resolved job out.
//!
//! Names and short flags follow llama.cpp's. Data goes to stdout, progress and errors to stderr.

pub mod batch;
pub mod bench;
mod chat;
mod engine_args;
pub mod eval;
mod ids;
pub mod inspect;
pub mod interrupt;
mod model_args;
mod output_file;
mod progress;
mod prompt_cache;
pub mod quantize;
pub mod run;
mod sampling_args;
mod session;
mod size;
pub mod summarize;
mod summarize_notes;
mod text_args;
pub mod tokenize;

use crate::demo;
use crate::gguf::Gguf;
use crate::jobs::Outcome;
use crate::text::one_line;
use anyhow::Result;
use clap::{Parser, Subcommand};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::{ExitCode, Termination};

/// Runs Mixtral and its relatives on CPUs, straight from GGUF files.
#[derive(Parser)]
#[command(version, about, propagate_version = true)]
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
    /// Say what a GGUF holds, and whether it will run here
    Inspect(inspect::InspectArgs),
    /// Turn text into token ids, and back
    Tokenize(tokenize::TokenizeArgs),
    /// Measure perplexity and the distance between two models, or write logits
    Eval(eval::EvalArgs),
    /// Make a quantized GGUF from a checkpoint or from another GGUF
    Quantize(quantize::QuantizeArgs),
    /// Measure the speed, beside what the machine can do at most
    Bench(bench::BenchArgs),
}

/// The command that the arguments ask for, or the exit code once help or an error is printed.
pub fn parse() -> Result<Command, ExitCode> {
    Cli::try_parse().map(|cli| cli.command).map_err(|error| {
        // Nobody may be reading: no reason to fail, or to fail otherwise.
        let _ = error.print();
        if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    })
}

/// The model that `-m` named, or the one in the program.
pub fn open_model(model: Option<&Path>) -> Result<Gguf> {
    let Some(path) = model else {
        print_note(
            "no model named with -m: this is the demo model, a toy that knows one small world; models.md lists real ones",
        );
        return Ok(demo::open()?);
    };
    Ok(Gguf::open(path)?)
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
pub fn exit_code(result: Result<impl Termination>) -> ExitCode {
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
    print_note(format_args!("error: {}", one_line(format!("{error:#}"))));
    ExitCode::FAILURE
}

/// Prints a line to stderr. That nobody reads it any more is no reason to fail.
fn print_note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints a piece of an answer to stdout, at once.
fn print_piece(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
