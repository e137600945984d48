//! `gatefold man`.

use super::Cli;
use crate::args::environment::told_in_help;
use anyhow::{Context, Result, bail};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use gatefold::text::printable;
use std::fs;
use std::io::{self, stdout};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gatefold man | man -l -              read it
  gatefold man run | man -l -          that of a command
  gatefold man -o ~/.local/share/man/man1     all of them, for `man gatefold` and `man gatefold-run`";

/// Arguments of `gatefold man`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ManArgs {
    /// The page of this command [default: that of the program]
    command: Option<String>,

    /// Write the pages of the program and of all commands to this folder
    #[arg(short, long, value_name = "DIR", conflicts_with = "command")]
    output: Option<PathBuf>,
}

/// Prints a page, or writes all.
pub fn run(args: ManArgs) -> Result<()> {
    let mut program = told_in_help(Cli::command()).disable_help_subcommand(true);
    program.build();
    if let Some(folder) = &args.output {
        return write_all(program, folder)
            .with_context(|| format!("cannot write the pages to {}", folder.display()));
    }
    let command = match &args.command {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(command) => command.clone(),
            None => bail!("there is no command {}; `gatefold --help` lists them", printable(name)),
        },
    };
    Ok(page(command).render(&mut stdout().lock())?)
}

fn write_all(program: Command, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let commands: Vec<Command> = program.get_subcommands().cloned().collect();
    for command in [vec![program], commands].concat() {
        page(command).generate_to(folder)?;
    }
    Ok(())
}

fn page(command: Command) -> Man {
    Man::new(command).source(concat!("gatefold ", env!("CARGO_PKG_VERSION")))
}
