//! The `gatefold` binary: one match on the subcommand.

use gatefold::cli::{self, Command, interrupt};
use std::process::ExitCode;

fn main() -> ExitCode {
    interrupt::outlive_file_limits();
    let command = match cli::parse() {
        Ok(command) => command,
        Err(exit_code) => return exit_code,
    };
    match command {
        Command::Run(args) => cli::exit_code(cli::run::run(args)),
        Command::Summarize(args) => cli::exit_code(cli::summarize::run(args)),
        Command::Batch(args) => cli::exit_code(cli::batch::run(args)),
        Command::Inspect(args) => cli::exit_code(cli::inspect::run(args)),
        Command::Tokenize(args) => cli::exit_code(cli::tokenize::run(args)),
        Command::Eval(args) => cli::exit_code(cli::eval::run(args)),
        Command::Quantize(args) => cli::exit_code(cli::quantize::run(args)),
        Command::Bench(args) => cli::exit_code(cli::bench::run(args)),
    }
}
