//! `gatefold pull`.

use crate::hub::{Name, Settings, pull, table};
use crate::terminal::print_note;
use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;
use std::io::{Write, stdout};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gatefold pull                               names, sizes, and where they are from
  gatefold pull mixtral                       the largest type that fits this machine
  gatefold pull mixtral:Q4_K_M
  gatefold pull TheBloke/Mixtral-8x7B-v0.1-GGUF:Q5_K_M
  gatefold pull hf.co/user/repo:folder/file.gguf
  gatefold pull https://example.org/model.gguf
  gatefold run -m mixtral 'Why is the sky blue?'    -m takes names too, and pulls what is not here

A pull that was stopped goes on where it stopped when the same command is given again. Models lie in
Hugging Face's folder, which other programs share: LLAMA_CACHE, HF_HUB_CACHE or HF_HOME names another.
HF_TOKEN is for models that ask for one, HF_ENDPOINT for mirrors; with HF_HUB_OFFLINE=1 nobody is asked.";

/// Arguments of `gatefold pull`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct PullArgs {
    /// USER/REPO or one of our own names, with :TYPE or :FILE.gguf behind it, or an address; without it,
    /// our own names are listed
    name: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Runs it: the path of the model goes to stdout.
pub fn run(args: PullArgs) -> Result<()> {
    let mut out = stdout().lock();
    let Some(name) = args.name else {
        ensure!(!args.json, "--json is for a model that is pulled; name one");
        return Ok(write!(out, "{}", table())?);
    };
    let pulled = pull(&Settings::from_env()?, &Name::of(&name)?)?;
    print_note(pulled.told());
    if args.json {
        let object = json!({
            "name": pulled.name,
            "path": pulled.path.to_string_lossy(),
            "commit": pulled.commit,
            "n_bytes": pulled.n_bytes,
            "n_fetched_bytes": pulled.n_fetched,
        });
        writeln!(out, "{object}")?;
    } else {
        // The bytes of the path are its name, whether or not they are text.
        out.write_all(pulled.path.as_os_str().as_encoded_bytes())?;
        writeln!(out)?;
    }
    Ok(())
}
