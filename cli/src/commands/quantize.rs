//! `gatefold quantize`.

use super::quantize_calibrate::ImportanceArgs;
use crate::args::model::ComputeArgs;
use crate::args::size::size;
use crate::terminal::progress::amount_bar;
use crate::terminal::{print_file_notes, print_note};
use anyhow::{Context, Result};
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};
use gatefold::Compute;
use gatefold::checkpoint::{Checkpoint, Tensor};
use gatefold::quantize::{Options, Output, Override, Plan, Reason, Start, quantize, recipe};
use gatefold::text::printable;
use gatefold::{DynFormat, FORMATS};
use indicatif::{DecimalBytes, HumanDuration};
use regex::Regex;
use serde_json::json;
use std::io::{self, Write};
use std::mem;
use std::path::PathBuf;
use std::time::Instant;

const EXAMPLES: &str = "\
Examples:
  gatefold quantize Mixtral-8x7B-Instruct-v0.1/ mixtral-q4_k_m.gguf --type Q4_K_M
  gatefold quantize mixtral-f16.gguf mixtral-q4_0.gguf --type Q4_0 --tensor-type 'attn_.*=Q8_0'
  gatefold quantize mixtral-f16.gguf q3.gguf --type Q3_K_M --imatrix mixtral.imatrix.gguf
  gatefold quantize Mixtral-8x7B-v0.1/ iq2.gguf --type IQ2_XS --calibrate letters.txt
  gatefold quantize Mixtral-8x7B-v0.1/ --type Q2_K --dry-run       what would become of each tensor
  gatefold quantize old.gguf new.gguf --type COPY                  a file of 2023 in today's layout
  gatefold quantize Mixtral-8x7B-v0.1/ m.gguf --type Q5_K_M --split-max-size 4G

A run that was stopped goes on where it stopped when the same command is given again.";

/// `--type` for keeping every tensor's format.
const COPY: &str = "COPY";

/// Arguments of `gatefold quantize`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct QuantizeArgs {
    /// A Hugging Face folder (config.json, safetensors), a folder of Mistral's own release
    /// (params.json, consolidated.*), or a GGUF file
    input: PathBuf,

    /// The GGUF file to write
    #[arg(required_unless_present = "dry_run")]
    output: Option<PathBuf>,

    /// What to make; COPY keeps the format of every tensor
    #[arg(long = "type", value_name = "TYPE", value_parser = types(), ignore_case = true)]
    target: String,

    /// Another format for the tensors whose names match; may be given again, the last match counts
    #[arg(long, value_name = "REGEX=TYPE", value_parser = tensor_type)]
    tensor_type: Vec<Override>,

    #[command(flatten)]
    importance: ImportanceArgs,

    /// Quantize tensors that are quantized already, which loses a second time
    #[arg(long)]
    allow_requantize: bool,

    /// Write several files with at most this much of tensors in each: 500M, 4G
    #[arg(long, value_name = "SIZE", value_parser = size)]
    split_max_size: Option<u64>,

    /// Replace OUTPUT if it exists
    #[arg(long)]
    overwrite: bool,

    /// Print what would become of each tensor, and write nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    compute: ComputeArgs,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn types() -> PossibleValuesParser {
    let names = recipe::all().iter().map(|recipe| recipe.name).chain([COPY]);
    PossibleValuesParser::new(names.map(PossibleValue::new))
}

fn tensor_type(text: &str) -> Result<Override, String> {
    let (pattern, name) =
        text.rsplit_once('=').ok_or("it has no =; expected is a regular expression, =, a type")?;
    let format = DynFormat::by_name(name).ok_or_else(|| {
        let names: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
        format!("there is no tensor type {name:?}; there are {}", names.join(", "))
    })?;
    let pattern = Regex::new(pattern).map_err(|error| {
        // The last line of several; those before it draw the pattern and point at the fault.
        let text = error.to_string();
        let fault = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("{pattern:?} is no regular expression: {fault}")
    })?;
    Ok(Override { pattern, format })
}

/// Runs it.
pub fn run(args: QuantizeArgs) -> Result<()> {
    args.compute.n_threads()?;
    let checkpoint = Checkpoint::open(&args.input)?;
    print_file_notes(&checkpoint.notes);
    let mut options = Options {
        recipe: recipe::by_name(&args.target),
        overrides: args.tensor_type,
        allow_requantize: args.allow_requantize,
        imatrix: None,
        is_preview: args.dry_run || args.importance.is_given(),
        most_bytes: args.split_max_size,
    };
    let plan = |options: &Options| {
        Plan::new(&checkpoint, options).with_context(|| checkpoint.path.display().to_string())
    };
    // What cannot be done is refused before a text is read for hours.
    plan(&options)?;
    let output = args.output.filter(|_| !args.dry_run);
    let compute = args.compute.resolve()?;
    options.imatrix = args.importance.resolve(&checkpoint, output.as_deref(), &compute)?;
    options.is_preview = args.dry_run;
    let plan = plan(&options)?;
    if options.imatrix.is_some() {
        tell_unknown(&checkpoint, &plan);
    }
    let Some(path) = output else {
        return print_plan(&checkpoint, &plan, args.json).map_err(Into::into);
    };
    let output = Output::open(&checkpoint, &plan, &path, args.overwrite)?;
    write(&checkpoint, &plan, output, &compute, args.json)?;
    args.importance.finish(&path);
    Ok(())
}

/// Names the tensors that the importance matrix says nothing of: errors of all their weights count the
/// same.
fn tell_unknown(checkpoint: &Checkpoint, plan: &Plan) {
    let tensors = checkpoint.tensors.iter().zip(&plan.tensors);
    let unknown = tensors.filter(|(tensor, planned)| {
        let changes = tensor.format != planned.format && planned.format.block_len > 1;
        changes && planned.importance.is_none()
    });
    let names: Vec<String> = unknown.map(|(tensor, _)| printable(&tensor.name)).collect();
    if let [first, others @ ..] = &names[..] {
        let others = match others.len() {
            0 => String::new(),
            n_others => format!(" and {n_others} others"),
        };
        print_note(format_args!(
            "note: the importance matrix says nothing of {first}{others}, whose weights all count the same"
        ));
    }
}

fn write(
    checkpoint: &Checkpoint,
    plan: &Plan,
    output: Output,
    compute: &Compute,
    as_json: bool,
) -> Result<()> {
    let start = Instant::now();
    if output.start() != Start::Fresh {
        print_note(output.start());
    }
    let bar = amount_bar(n_weights(checkpoint), "weights");
    let mut is_first = true;
    let files = quantize(checkpoint, plan, output, compute, |progress| {
        if let Some(tensor) = checkpoint.tensors.get(progress.tensor_idx) {
            bar.set_message(tensor.name.clone());
        }
        bar.set_position(progress.weights_done);
        // What an earlier run did says nothing about the rate of this one.
        if mem::take(&mut is_first) {
            bar.reset_eta();
        }
    })?;
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    if as_json {
        let object = json!({
            "files": files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>(),
            "n_tensors": plan.tensors.len(),
            "n_bytes": plan.n_bytes(),
            "bits_per_weight": bits_per_weight(checkpoint, plan),
            "seconds": start.elapsed().as_secs_f64(),
        });
        writeln!(out, "{object}")?;
    } else {
        for file in files {
            writeln!(out, "{}", printable(file.display()))?;
        }
        let elapsed = HumanDuration(start.elapsed());
        writeln!(out, "{}, in {elapsed}", summary(checkpoint, plan))?;
    }
    Ok(())
}

/// A line per tensor, and what it all comes to.
fn print_plan(checkpoint: &Checkpoint, plan: &Plan, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let tensors = checkpoint.tensors.iter().zip(&plan.tensors);
    if as_json {
        let tensors = tensors.map(|(tensor, planned)| {
            json!({
                "name": tensor.name,
                "shape": tensor.shape,
                "from": tensor.format.name,
                "to": planned.format.name,
                "n_bytes": planned.n_bytes,
                "note": note(planned.reason),
            })
        });
        let object = json!({
            "input": checkpoint.kind,
            "tensors": tensors.collect::<Vec<_>>(),
            "files": plan.parts.len(),
            "n_bytes": plan.n_bytes(),
            "bits_per_weight": bits_per_weight(checkpoint, plan),
        });
        return writeln!(out, "{object}");
    }
    let width = checkpoint.tensors.iter().map(|tensor| tensor.name.chars().count()).max();
    let width = width.unwrap_or(0);
    for (tensor, planned) in tensors {
        let (name, shape) = (printable(&tensor.name), format!("{:?}", tensor.shape));
        let (from, to) = (tensor.format, planned.format);
        let (size, note) = (DecimalBytes(planned.n_bytes).to_string(), note(planned.reason));
        let line = format!("{name:<width$}  {shape:<18} {from:<6} -> {to:<6} {size:>10}  {note}");
        writeln!(out, "{}", line.trim_end())?;
    }
    writeln!(out, "{}", summary(checkpoint, plan))
}

fn note(reason: Reason) -> String {
    match reason {
        Reason::Recipe => String::new(),
        Reason::Override => "by --tensor-type".into(),
        Reason::Fallback(wanted) => {
            format!(
                "instead of {wanted}, whose blocks of {} do not divide its rows",
                wanted.block_len
            )
        }
    }
}

/// `291 tensors, 26.44 GB, 4.53 bits per weight`
fn summary(checkpoint: &Checkpoint, plan: &Plan) -> String {
    let files = match plan.parts.len() {
        1 => String::new(),
        n_files => format!(" in {n_files} files"),
    };
    format!(
        "{} tensors{files}, {}, {:.2} bits per weight",
        plan.tensors.len(),
        DecimalBytes(plan.n_bytes()),
        bits_per_weight(checkpoint, plan)
    )
}

fn bits_per_weight(checkpoint: &Checkpoint, plan: &Plan) -> f64 {
    8.0 * plan.n_bytes() as f64 / n_weights(checkpoint) as f64
}

fn n_weights(checkpoint: &Checkpoint) -> u64 {
    checkpoint.tensors.iter().map(Tensor::n_weights).sum()
}
