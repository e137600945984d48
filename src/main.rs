//! The `gatefold` binary: one match on the subcommand.

use gatefold::cli::{self, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let command = match cli::parse() {
        Ok(command) => command,
        Err(exit_code) => return exit_code,
    };
    let result = match command {
        Command::Run(args) => cli::run::run(args),
        Command::Inspect(args) => cli::inspect::run(args),
        Command::Tokenize(args) => cli::tokenize::run(args),
        Command::Eval(args) => cli::eval::run(args),
        Command::Quantize(args) => cli::quantize::run(args),
    };
    cli::exit_code(result)
}
