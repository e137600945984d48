//! The `gatefold` binary: one match on the subcommand.

use clap::Parser;
use gatefold::cli::{self, Cli, Command};
use std::process::ExitCode;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => cli::run::run(args),
        Command::Inspect(args) => cli::inspect::run(args),
        Command::Tokenize(args) => cli::tokenize::run(args),
        Command::Eval(args) => cli::eval::run(args),
    };
    cli::exit_code(result)
}
