//! The `gatefold` binary: one match on the subcommand.

use gatefold_cli::commands::{self, Command};
use gatefold_cli::terminal::interrupt;
use std::process::ExitCode;

fn main() -> ExitCode {
    interrupt::outlive_file_limits();
    let command = match commands::parse() {
        Ok(command) => command,
        Err(exit_code) => return exit_code,
    };
    match command {
        Command::Run(args) => commands::exit_code(commands::run::run(args)),
        Command::Summarize(args) => commands::exit_code(commands::summarize::run(args)),
        Command::Batch(args) => commands::exit_code(commands::batch::run(args)),
        Command::Inspect(args) => commands::exit_code(commands::inspect::run(args)),
        Command::Tokenize(args) => commands::exit_code(commands::tokenize::run(args)),
        Command::Eval(args) => commands::exit_code(commands::eval::run(args)),
        Command::Quantize(args) => commands::exit_code(commands::quantize::run(args)),
        Command::Bench(args) => commands::exit_code(commands::bench::run(args)),
    }
}
