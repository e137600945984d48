//! `gatefold imatrix`.

use crate::args::model::{ModelArgs, Use, cache_format};
use crate::imatrix::{Form, Source, Work, check_output, describe, write};
use crate::jobs::Outcome;
use crate::terminal::interrupt::Interrupts;
use crate::terminal::print_note;
use crate::terminal::progress::{self, progress_bar};
use anyhow::{Context, Result, ensure};
use clap::{Args, value_parser};
use gatefold::DynFormat;
use gatefold::eval::Windows;
use gatefold::files::with_suffix;
use gatefold::imatrix::Imatrix;
use gatefold::text::printable;
use gatefold::tokenizer::Specials;
use serde_json::json;
use std::fs;
use std::io::{Write, stdout};
use std::path::PathBuf;

/// Tokens of a window, as those of `eval`.
const DEFAULT_WINDOW: usize = 512;

const EXAMPLES: &str = "\
Examples:
  gatefold imatrix -m mixtral-f16.gguf -o mixtral.imatrix.gguf          Gatefold's own text
  gatefold imatrix -m mixtral-q8_0.gguf -f letters.txt -o letters.gguf  a text like yours
  gatefold imatrix -m mixtral-q8_0.gguf --random 100000 -o random.gguf
  gatefold imatrix --in-file a.gguf --in-file b.dat -o both.gguf        merged
  gatefold quantize mixtral-f16.gguf q3.gguf --type Q3_K_M --imatrix mixtral.imatrix.gguf

The model may be quantized: its precision hardly matters. 100,000 tokens are plenty; an expert sees a
part of them. A run that was stopped goes on where it stopped when the same command is given again.

Exit codes: 0, 1 if the run failed, 130 if Ctrl-C or SIGTERM ended it.";

/// Arguments of `gatefold imatrix`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct ImatrixArgs {
    #[command(flatten)]
    model: ModelArgs,

    /// A file with the text; `-` is stdin [default: a text in the program, of prose in many languages,
    /// code and conversations]
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Read so many random tokens in place of a text
    #[arg(long, value_name = "N", conflicts_with = "file")]
    random: Option<usize>,

    /// Take the spelling of control tokens in the text for the tokens
    #[arg(long, requires = "file")]
    parse_special: bool,

    /// Read so many windows of the text at most
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    chunks: Option<u32>,

    /// Add what is in this importance matrix, of either form; may be given again. Without -f and
    /// --random no text is read
    #[arg(long, value_name = "FILE")]
    in_file: Vec<PathBuf>,

    /// The importance matrix to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,

    /// Its form
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Form::Gguf)]
    output_format: Form,

    /// Keep the sums there with all their digits, and go on from there; --in-file takes it, too
    /// [default: OUTPUT.part, until all is done]
    #[arg(long, value_name = "FILE")]
    sums: Option<PathBuf>,

    /// Type of the KV cache: f32, f16 or q8_0
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = cache_format)]
    cache_type: &'static DynFormat,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Makes an importance matrix.
pub fn run(args: ImatrixArgs) -> Result<Outcome> {
    let interrupts = Interrupts::watch()?;
    check_output(&args.output)?;
    let others: Vec<Imatrix> =
        args.in_file.iter().map(|path| Imatrix::open(path)).collect::<Result<_, _>>()?;
    let mut imatrix = Imatrix::default();
    let state = args.sums.clone().unwrap_or_else(|| with_suffix(&args.output, ".part"));
    let source = match (&args.file, args.random) {
        (Some(path), _) => {
            let specials = if args.parse_special { Specials::Parse } else { Specials::AsText };
            Some(Source::File { path: path.clone(), specials })
        }
        (None, Some(n_tokens)) => Some(Source::Random(n_tokens)),
        (None, None) => others.is_empty().then_some(Source::Own),
    };
    if let Some(source) = &source {
        let loaded = args.model.load(Use {
            default_context: Some(DEFAULT_WINDOW),
            cache_format: Some(args.cache_type),
            ..Use::default()
        })?;
        let tokens = source.tokens(&loaded.language)?;
        let first = loaded.language.tokenizer.first_token();
        let most =
            args.chunks.map_or(usize::MAX, |n| (n as usize).saturating_mul(loaded.context_len));
        let work = Work {
            language: &loaded.language,
            compute: &loaded.compute,
            cache_format: args.cache_type,
            batch_len: loaded.batch_len,
            windows: Windows::new(&tokens[..tokens.len().min(most)], first, loaded.context_len)?,
            dataset: source.name(),
        };
        let bar = progress_bar(work.windows.n_windows(), "windows");
        let mut n_done = 0;
        let found = work.run(&state, &interrupts.heed(), |n_windows| {
            n_done = n_windows;
            bar.set_position(n_windows as u64);
        })?;
        progress::hide();
        let Some(found) = found else {
            print_note(format_args!(
                "stopped behind {n_done} of {} windows; the same command goes on from there",
                work.windows.n_windows()
            ));
            return Ok(Outcome::Interrupted);
        };
        imatrix = found;
    }
    for (other, path) in others.iter().zip(&args.in_file) {
        imatrix.merge(other).with_context(|| printable(path.display()))?;
    }
    ensure!(imatrix.entries().len() > 0, "there is nothing to write");
    if let Some(note) = describe(&imatrix) {
        print_note(format_args!("note: {note}"));
    }
    write(&imatrix, &args.output, args.output_format)?;
    if source.is_some() && args.sums.is_none() {
        fs::remove_file(&state).with_context(|| printable(state.display()))?;
    }
    print(&args, &imatrix)
}

fn print(args: &ImatrixArgs, imatrix: &Imatrix) -> Result<Outcome> {
    let mut out = stdout().lock();
    let (n_tensors, name) = (imatrix.entries().len(), printable(args.output.display()));
    let Imatrix { n_chunks, chunk_len, .. } = imatrix;
    if args.json {
        let object = json!({
            "file": args.output.display().to_string(),
            "n_tensors": n_tensors,
            "n_windows": n_chunks,
            "window": chunk_len,
            "datasets": imatrix.datasets,
            "thin": imatrix.thin().len(),
        });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{name}\n{n_tensors} tensors, {n_chunks} windows of {chunk_len} tokens")?;
    }
    Ok(Outcome::Done)
}
