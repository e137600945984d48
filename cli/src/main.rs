//! The `gatefold` binary: one match on the subcommand.

use gatefold_cli::commands::{self, Command};
use gatefold_cli::terminal::interrupt;
use std::process::ExitCode;

fn main() -> ExitCode {
    interrupt::outlive_file_limits();
    let (command, environment) = match commands::parse() {
        Ok(parsed) => parsed,
        Err(exit_code) => return exit_code,
    };
    match command {
        Command::Run(args) => commands::exit_code(commands::run::run(args), &environment),
        Command::Summarize(args) => {
            commands::exit_code(commands::summarize::run(args), &environment)
        }
        Command::Batch(args) => commands::exit_code(commands::batch::run(args), &environment),
        Command::Merge(args) => commands::exit_code(commands::merge::run(args), &environment),
        Command::Verify(args) => commands::exit_code(commands::verify::run(args), &environment),
        Command::Serve(args) => commands::exit_code(commands::serve::run(args), &environment),
        Command::Health(args) => commands::exit_code(commands::health::run(args), &environment),
        Command::Inspect(args) => commands::exit_code(commands::inspect::run(args), &environment),
        Command::Tokenize(args) => commands::exit_code(commands::tokenize::run(args), &environment),
        Command::Eval(args) => commands::exit_code(commands::eval::run(args), &environment),
        Command::Routing(args) => commands::exit_code(commands::routing::run(args), &environment),
        Command::Imatrix(args) => commands::exit_code(commands::imatrix::run(args), &environment),
        Command::Quantize(args) => commands::exit_code(commands::quantize::run(args), &environment),
        Command::Bench(args) => commands::exit_code(commands::bench::run(args), &environment),
        Command::Pull(args) => commands::exit_code(commands::pull::run(args), &environment),
        Command::List(args) => commands::exit_code(commands::list::run(args), &environment),
        Command::Rm(args) => commands::exit_code(commands::rm::run(args), &environment),
        Command::Completions(args) => {
            commands::exit_code(commands::completions::run(args), &environment)
        }
        Command::Man(args) => commands::exit_code(commands::man::run(args), &environment),
    }
}
