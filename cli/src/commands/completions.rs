//! `gatefold completions`.

use super::Cli;
use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};
use std::io::{Write, stdout};

const EXAMPLES: &str = "\
Examples:
  gatefold completions bash > ~/.local/share/bash-completion/completions/gatefold
  gatefold completions zsh > ~/.zfunc/_gatefold      with fpath+=~/.zfunc before compinit in ~/.zshrc
  gatefold completions fish > ~/.config/fish/completions/gatefold.fish
  gatefold completions powershell >> $PROFILE";

/// Arguments of `gatefold completions`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: CompletionsArgs) -> Result<()> {
    // What writes the script panics where it cannot write.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "gatefold", &mut script);
    Ok(stdout().lock().write_all(&script)?)
}
