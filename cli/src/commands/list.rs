//! `gatefold list`.

use crate::hub::{Listed, Settings, list};
use crate::terminal::print_note;
use anyhow::Result;
use clap::Args;
use gatefold::text::{bytes, printable};
use serde_json::{Value as Json, json};
use std::io::{BufWriter, Write, stdout};

const EXAMPLES: &str = "\
Examples:
  gatefold list
  gatefold list --json | jq -r '.[].path'

Models that other programs have fetched from Hugging Face are among them. `gatefold pull` without a
name lists what can be fetched by short names.";

/// Arguments of `gatefold list`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ListArgs {
    /// Print a JSON array, with the path of each
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(args: ListArgs) -> Result<()> {
    let settings = Settings::from_env()?;
    let listed = list(&settings);
    let mut out = BufWriter::new(stdout().lock());
    if args.json {
        let objects = listed.iter().map(|Listed { name, path, n_bytes }| {
            let path = path.as_ref().map(|path| path.to_string_lossy());
            json!({ "name": name, "path": path, "n_bytes": n_bytes, "is_whole": path.is_some() })
        });
        writeln!(out, "{}", Json::Array(objects.collect()))?;
    } else {
        let names = listed.iter().map(|listed| listed.name.chars().count());
        let width = names.max().unwrap_or(0);
        for Listed { name, path, n_bytes } in &listed {
            let state = if path.is_some() { "" } else { "  unfinished: pull it again, or rm it" };
            writeln!(out, "{:<width$}  {:>9}{state}", printable(name), bytes(*n_bytes))?;
        }
        if listed.is_empty() {
            print_note(format_args!(
                "no models in {}; `gatefold pull` lists some that can be fetched",
                settings.cache.display()
            ));
        }
    }
    Ok(out.flush()?)
}
