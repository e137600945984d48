//! `gatefold tokenize`.

use super::model_path;
use super::text_args::TextArgs;
use crate::gguf::Gguf;
use crate::tokenizer::{Specials, Tokenizer};
use anyhow::{Context, Result, bail};
use clap::Args;
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
    let path = model_path(args.model)?;
    let tokenizer = Tokenizer::from_metadata(Gguf::open(&path)?.metadata())
        .with_context(|| path.display().to_string())?;
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

/// Ids between commas, spaces or the brackets of JSON, each within the vocabulary.
fn parse_ids(text: &str, n_vocab: usize) -> Result<Vec<u32>> {
    let text = text.trim();
    let list = match text.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').context("the array of ids is not closed by `]`")?,
        None => text,
    };
    let ids = list.split(|c: char| c == ',' || c.is_whitespace()).filter(|id| !id.is_empty());
    ids.map(|id| match id.parse::<u32>() {
        Ok(number) if (number as usize) < n_vocab => Ok(number),
        _ if id.bytes().all(|digit| digit.is_ascii_digit()) => {
            bail!("the id {id} is beyond the vocabulary, whose last id is {}", n_vocab - 1)
        }
        _ => bail!("`{}` is not a token id; expected a number from 0 on", id.escape_debug()),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::parse_ids;

    #[test]
    fn ids_are_read_from_json_and_from_lists() {
        for text in ["[1,2, 31]", "1,2,31", "1 2\n31\n", " [1\n,2,31] \n"] {
            assert_eq!(parse_ids(text, 32).unwrap(), [1, 2, 31], "{text:?}");
        }
        assert!(parse_ids("", 32).unwrap().is_empty());
        assert!(parse_ids("[]", 32).unwrap().is_empty());
    }

    #[test]
    fn ids_that_are_none_are_named() {
        for (text, expected) in [
            ("1,32", "the id 32 is beyond the vocabulary, whose last id is 31"),
            ("99999999999999999999", "the id 99999999999999999999 is beyond the vocabulary"),
            ("1,-2", "`-2` is not a token id"),
            ("[1,x]", "`x` is not a token id"),
            ("[1", "not closed"),
        ] {
            let error = parse_ids(text, 32).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
