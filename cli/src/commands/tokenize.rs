//! `gatefold tokenize`.

use super::ids::parse_ids;
use crate::args::text::WordsArgs;
use crate::demo::open_model;
use crate::terminal::print_file_notes;
use anyhow::{Context, Result};
use clap::Args;
use gatefold::tokenizer::{Specials, TextBytes, TextStream, Tokenizer};
use std::io::{self, Write, stdout};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gatefold tokenize -m mixtral.gguf 'How many tokens?'
  gatefold tokenize -m mixtral.gguf --json -f story.txt > ids.json
  gatefold tokenize -m mixtral.gguf --decode -f ids.json";

/// Arguments of `gatefold tokenize`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct TokenizeArgs {
    /// The model: a GGUF file, of a split one any part, or a name as `gatefold pull` takes it
    #[arg(short, long, value_name = "FILE|NAME")]
    model: Option<PathBuf>,

    #[command(flatten)]
    text: WordsArgs,

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
    print_file_notes(tokenizer.notes());
    let text = args.text.resolve()?.read()?;
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
            let mut text = TextStream::new(&tokenizer);
            for id in ids {
                let piece = tokenizer.piece(id).unwrap_or("");
                let meaning = meaning(&tokenizer, id, piece, &text.push(id));
                writeln!(out, "{id:>6}  {}{meaning}", piece.escape_debug())?;
            }
        }
    }
    Ok(out.flush()?)
}

/// What a token says, where its piece does not: the text that it adds or completes, and bytes that are
/// a part of a character.
fn meaning(tokenizer: &Tokenizer, id: u32, piece: &str, completed: &str) -> String {
    let bytes = TextBytes::new(false).of(tokenizer, id);
    let is_byte = piece.starts_with("<0x") && bytes.len() == 1;
    let mut meaning = String::new();
    if str::from_utf8(bytes).is_err() && !is_byte {
        meaning.push_str("  ");
        for chunk in bytes.utf8_chunks() {
            meaning.extend(chunk.valid().escape_debug());
            meaning.extend(chunk.invalid().iter().map(|byte| format!("<0x{byte:02X}>")));
        }
    }
    let says_itself =
        completed == piece.replace('\u{2581}', " ") || (is_byte && completed.len() == 1);
    if !completed.is_empty() && !says_itself {
        meaning.push_str(&format!("  {completed:?}"));
    }
    meaning
}
