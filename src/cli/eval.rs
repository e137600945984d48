//! `gatefold eval`.

use super::ids::parse_ids;
use super::model_args::{LoadedModel, ModelArgs, cache_format};
use super::progress::progress_bar;
use super::text_args::TextArgs;
use crate::eval::{NpyWriter, perplexity};
use anyhow::{Context, Result, ensure};
use clap::Args;
use gatefold_quant::DynFormat;
use serde_json::json;
use std::io::{self, BufWriter, Write, stdout};
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// Tokens per window of a perplexity measurement, as in the field's published figures.
const DEFAULT_WINDOW: usize = 512;

const EXAMPLES: &str = "\
Examples:
  gatefold eval -m mixtral.gguf -f wiki.test.raw            perplexity, windows of 512 tokens
  gatefold eval -m mixtral.gguf -f wiki.test.raw -c 2048    the same with longer windows
  gatefold eval -m mixtral.gguf --ids 1,315,837 --logits out.npy";

/// Arguments of `gatefold eval`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct EvalArgs {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    text: TextArgs,

    /// Token ids instead of a text, taken as they are, without a token that begins it
    #[arg(long, value_name = "ID,ID,...", conflicts_with_all = ["prompt", "file"])]
    ids: Option<String>,

    /// Write the logits after every token to this file: NumPy's format, f32, [n_tokens, vocabulary]
    #[arg(long, value_name = "FILE.npy")]
    logits: Option<PathBuf>,

    /// Format of the remembered keys and values: f32, f16 or q8_0
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = cache_format)]
    cache_type: &'static DynFormat,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures perplexity, or writes logits.
pub fn run(args: EvalArgs) -> Result<()> {
    let default_context = args.logits.is_none().then_some(DEFAULT_WINDOW);
    let loaded = args.model.load(default_context)?;
    let (first, tokens) = match &args.ids {
        Some(ids) => (None, parse_ids(ids, loaded.model.n_vocab()).context("--ids")?),
        None => {
            let tokens = loaded.tokenizer.encode_text(&args.text.read()?)?;
            (loaded.tokenizer.first_token(), tokens)
        }
    };
    match &args.logits {
        Some(path) => write_logits(&args, &loaded, &tokens, path),
        None => print_perplexity(&args, &loaded, first, &tokens),
    }
}

fn print_perplexity(
    args: &EvalArgs,
    loaded: &LoadedModel,
    first: Option<u32>,
    tokens: &[u32],
) -> Result<()> {
    let window_len = loaded.context_len;
    let mut sequence = loaded.sequence(args.cache_type)?;
    let bar = progress_bar(tokens.len() / window_len, "windows");
    let result = perplexity(&mut sequence, tokens, first, window_len, |so_far| {
        bar.inc(1);
        bar.set_message(format!("perplexity {:.4}", so_far.value()));
    })?;
    bar.finish_and_clear();
    let (value, error) = (result.value(), result.standard_error());
    ensure!(
        value.is_finite(),
        "the perplexity is {value}: the model's weights are damaged (`gatefold inspect --check` finds the tensor)"
    );
    let mut out = stdout().lock();
    if args.json {
        let object = json!({
            "perplexity": value,
            "standard_error": error,
            "n_tokens": tokens.len(),
            "n_scored": result.n_scored,
            "window": window_len,
            "cache_type": args.cache_type.name,
            "isa": loaded.compute.isa.name(),
        });
        writeln!(out, "{object}")?;
    } else {
        let n_windows = tokens.len() / window_len;
        writeln!(out, "perplexity {value:.4} +/- {error:.4}")?;
        writeln!(out, "{} tokens scored, in {n_windows} windows of {window_len}", result.n_scored)?;
    }
    Ok(())
}

fn write_logits(args: &EvalArgs, loaded: &LoadedModel, tokens: &[u32], path: &Path) -> Result<()> {
    ensure!(!tokens.is_empty(), "there are no tokens, hence no logits; give a text or --ids");
    let n_vocab = loaded.model.n_vocab();
    let name = path.display().to_string();
    // Renaming would put a file in the place of a device.
    ensure!(
        path.is_file() || !path.exists(),
        "cannot write {name}: it exists and is not a file; name one for --logits"
    );
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Written beside and renamed: a file with this name is always whole.
    let partial = partial_file(folder).with_context(|| format!("cannot write {name}"))?;
    let mut writer = NpyWriter::new(BufWriter::new(partial), tokens.len(), n_vocab)?;
    let bar = progress_bar(tokens.len(), "tokens");
    loaded.sequence(args.cache_type)?.read_all(tokens, |logits| {
        for logits in logits {
            writer.write(logits).with_context(|| format!("cannot write {name}"))?;
            bar.inc(1);
        }
        anyhow::Ok(())
    })?;
    bar.finish_and_clear();
    let partial = writer.finish()?.into_inner().context("flushing")?;
    partial.persist(path).with_context(|| format!("cannot write {name}"))?;
    let mut out = stdout().lock();
    if args.json {
        writeln!(
            out,
            "{}",
            json!({ "logits": name, "n_tokens": tokens.len(), "n_vocab": n_vocab })
        )?;
    } else {
        writeln!(out, "{name}: logits of {} tokens over a vocabulary of {n_vocab}", tokens.len())?;
    }
    Ok(())
}

/// A temporary file in `folder`, to be renamed.
fn partial_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // Temporary files are their owner's alone; this one is to be like any that a program writes.
    #[cfg(unix)]
    builder.permissions(PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
