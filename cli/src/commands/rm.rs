//! `gatefold rm`.

use crate::hub::{Name, Settings, remove};
use crate::terminal::print_note;
use anyhow::Result;
use clap::Args;
use gatefold::text::bytes;
use serde_json::json;
use std::io::{Write, stdout};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gatefold rm mixtral:Q4_K_M
  gatefold rm TheBloke/Mixtral-8x7B-v0.1-GGUF --all

Without a type, what `gatefold pull` has begun to fetch goes too, and with --all what other programs
have. What is in the folder beside models stays.";

/// Arguments of `gatefold rm`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct RmArgs {
    /// The model, as `gatefold list` has it
    name: PathBuf,
    /// Remove all models of this name, of whatever type
    #[arg(long)]
    all: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(args: RmArgs) -> Result<()> {
    let removed = remove(&Settings::from_env()?, &Name::of(&args.name)?, args.all)?;
    if args.json {
        let object = json!({ "removed": removed.names, "n_bytes": removed.n_bytes });
        writeln!(stdout().lock(), "{object}")?;
    } else {
        let names = if removed.names.is_empty() {
            "what was unfinished".into()
        } else {
            removed.names.join(", ")
        };
        print_note(format_args!("removed {names}: {} are free now", bytes(removed.n_bytes)));
    }
    Ok(())
}
