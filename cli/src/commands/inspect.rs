//! `gatefold inspect`.

use crate::args::model::ComputeArgs;
use crate::bench::{FORECAST_STEPS, forecast};
use crate::demo::open_model;
use crate::flags::name_flags;
use crate::terminal::progress::{PatientLog, amount_bar, progress_bar};
use anyhow::{Result, bail};
use clap::Args;
use gatefold::Compute;
use gatefold::gguf::Gguf;
use gatefold::inspect::{Check, Report, check};
use gatefold::machine::Machine;
use std::io::{self, Write};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gatefold inspect mixtral.gguf              what is in it, and whether it runs here
  gatefold inspect mixtral.gguf --tensors    with a list of every tensor
  gatefold inspect mixtral.gguf --check      read every weight: is the download sound?
  gatefold inspect mixtral.gguf --measure    how fast will it be here?";

/// Arguments of `gatefold inspect`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArgs {
    /// The GGUF file, any part of a split one, or a name as `gatefold pull` takes it
    #[arg(short, long, value_name = "FILE|NAME")]
    model: Option<PathBuf>,
    /// The same, without -m
    #[arg(value_name = "FILE|NAME", conflicts_with = "model")]
    file: Option<PathBuf>,
    /// List every tensor
    #[arg(long)]
    tensors: bool,
    /// Read every weight, and fail if one is NaN or infinite or the model cannot run
    #[arg(long)]
    check: bool,
    /// Measure the first two layers and the disk, and say how fast the model will run here
    #[arg(long)]
    measure: bool,
    /// What reads the weights for --check, and computes for --measure.
    #[command(flatten)]
    compute: ComputeArgs,
    /// Print one JSON object, metadata included
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(args: InspectArgs) -> Result<()> {
    args.compute.n_threads()?;
    let gguf = open_model(args.model.or(args.file).as_deref())?;
    let mut report = Report::new(&gguf, Machine::this())?;
    report.verdict.notes.iter_mut().for_each(|note| *note = name_flags(&*note));
    if args.tensors {
        report = report.with_tensors(&gguf);
    }
    if args.check {
        let compute = args.compute.resolve()?;
        report.check = Some(check_with_progress(&gguf, &compute, report.memory.weights_bytes));
    }
    if args.measure && report.verdict.runs {
        let (compute, bar) = (args.compute.resolve()?, progress_bar(FORECAST_STEPS, "tests"));
        let log = PatientLog::begin();
        let larger = report.memory.larger.as_ref();
        report.forecast = Some(forecast(&gguf, &compute, larger, |doing| {
            bar.inc(1);
            bar.set_message(doing.to_string());
            log.doing(doing.to_string());
        })?);
        bar.finish_and_clear();
    }
    let mut stdout = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut stdout, &report).map_err(io::Error::from)?;
        writeln!(stdout)?;
    } else {
        write!(stdout, "{}", name_flags(report.to_string()))?;
        if report.model.as_ref().is_some_and(|model| model.n_experts > 1) {
            writeln!(stdout, "{:<14}`gatefold routing` shows which expert does what", "routing")?;
        }
    }
    match report.check {
        Some(check) if !check.faults.is_empty() => bail!(
            "{}: {} tensors have NaN or infinite weights; download or quantize the model again",
            gguf.path().display(),
            check.faults.len()
        ),
        Some(_) if !report.verdict.runs => bail!("{}", report.verdict.notes.join("; ")),
        _ => Ok(()),
    }
}

fn check_with_progress(gguf: &Gguf, compute: &Compute, n_bytes: u64) -> Check {
    let bar = amount_bar(n_bytes, "bytes");
    let check = check(gguf, compute, |n_bytes| bar.inc(n_bytes));
    bar.finish_and_clear();
    check
}
