//! `gatefold tokenize`.

use super::ids::parse_ids;
use crate::args::text::TextArgs;
use crate::demo::open_model;
use anyhow::{Context, Result};
use clap::Args;
use gatefold::tokenizer::{Specials, Tokenizer};
use std::io::{self, Write, stdout};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gatefold tokenize -m mixtral.gguf -p 'How many tokens?'
  gatefold tokenize -m mixtral.gguf --json -f story.txt > ids.json
  gatefold tokenize -m mixtral.gguf --decode -f ids.json";

/// Arguments of `gatefold tokenize`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct TokenizeArgs {
    /// GGUF file of the model; of a split one, any part
    #[arg(short, long, value_name = "FILE")]
    model: Option<PathBuf>,

    #[command(flatten)]
    text: TextArgs,

    /// Put the token that begins a text before the others
    #[arg(long, conflicts_with = "decode")]
    bos: bool,

    /// Take the spelling of control tokens in the text, like `</s>`, for these tokens
    #[arg(long, conflicts_with = "decode")]
    special: bool,

    /// Turn ids back into text: a JSON array, or numbers between commas or spaces
    #[arg(long)]
    decode: bool,

    /// Print a JSON array of the ids, or with --decode the text as a JSON string
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(args: TokenizeArgs) -> Result<()> {
    let gguf = open_model(args.model.as_deref())?;
    let tokenizer =
        Tokenizer::from_gguf(&gguf).with_context(|| gguf.path().display().to_string())?;
    let text = args.text.read()?;
    let mut out = io::BufWriter::new(stdout().lock());
    if args.decode {
        let text = tokenizer.decode(&parse_ids(&text, tokenizer.n_vocab())?);
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&text)?)?;
        } else {
            out.write_all(text.as_bytes())?;
        }
    } else {
        let specials = if args.special { Specials::Parse } else { Specials::AsText };
        let mut ids = tokenizer.encode(&text, specials)?;
        if args.bos {
            let bos =
                tokenizer.bos().context("--bos: this model has no token that begins a text")?;
            ids.insert(0, bos);
        }
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&ids)?)?;
        } else {
            for id in ids {
                writeln!(out, "{id:>6}  {}", tokenizer.piece(id).unwrap_or("").escape_debug())?;
            }
        }
    }
    Ok(out.flush()?)
}
