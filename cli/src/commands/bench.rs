//! `gatefold bench`.

use crate::args::model::{ComputeArgs, DEFAULT_BATCH, cache_format};
use crate::args::size::size;
use crate::bench::synthetic::{SHAPES, Shape, Synthetic};
use crate::bench::{Ceiling, Measurement, Options, Test, measure};
use crate::demo::open_model;
use crate::terminal::print_note;
use crate::terminal::progress::{PatientLog, amount_bar, progress_bar, reading};
use anyhow::Result;
use clap::Args;
use clap::builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser};
use gatefold::Compute;
use gatefold::model::{Memory, Model};
use gatefold::text::{bytes, printable};
use gatefold::{DynFormat, FORMATS};
use serde::Serialize;
use std::env;
use std::fmt::{self, Display};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  gatefold bench -m mixtral.gguf                        a prompt of 512, and 32 tokens
  gatefold bench -m mixtral.gguf -p 512,2048 -n 32 -b 1,8,32 -d 4096,16384 --json
  gatefold bench --synthetic mixtral-8x7b --layers 8 --type Q4_K    no model at hand

A test is called after what it does: pp512 reads a prompt of 512 tokens, tg32 makes 32 tokens, tg32@8
as many for 8 sequences at once, tg32@d4096 behind 4096 others. The share is that of the ceiling that
is nearest: how fast the same threads read memory, how fast they multiply int8 numbers, or how fast the
disk is where a model is larger than memory.";

/// Arguments of `gatefold bench`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// The model: a GGUF file, of a split one any part, or a name as `gatefold pull` takes it
    /// [default: the demo model]
    #[arg(short, long, value_name = "FILE|NAME")]
    model: Option<PathBuf>,

    /// Lengths of the prompts; 0 for none [default: 512, or the context where that is less]
    #[arg(short = 'p', long = "n-prompt", value_name = "N,...", value_delimiter = ',', value_parser = up_to(1 << 20))]
    prompts: Vec<usize>,

    /// Tokens to make; 0 for none [default: 32, or the context where that is less]
    #[arg(short, long = "n-gen", value_name = "N", value_parser = up_to(1 << 20))]
    n_decode: Option<usize>,

    /// How many sequences make them together
    #[arg(short, long, value_name = "N,...", value_delimiter = ',', default_value = "1", value_parser = up_to(1 << 12))]
    batches: Vec<usize>,

    /// Behind how many tokens one sequence makes them, in tests of their own
    #[arg(short, long = "n-depth", value_name = "N,...", value_delimiter = ',', value_parser = up_to(1 << 20))]
    depths: Vec<usize>,

    /// How often each test runs; they take turns
    #[arg(short, long = "repetitions", value_name = "N", default_value = "5", value_parser = between(1, 1 << 12))]
    rounds: usize,

    /// Prompt tokens that go through the model together [default: 512; up to 2048 where the model is
    /// larger than memory]
    #[arg(long = "ubatch-size", value_name = "N", value_parser = between(1, 1 << 16))]
    step_len: Option<usize>,

    /// Memory for weights, keys and values: 500M, 8G. What does not fit is read from the disk, step by
    /// step [default: what is free]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,

    /// Format of the KV cache: f32, f16 or q8_0
    #[arg(long, value_name = "TYPE", default_value = "f16", value_parser = cache_format)]
    cache_type: &'static DynFormat,

    #[command(flatten)]
    compute: ComputeArgs,

    /// In place of a model, a file of random weights in this one's shape; made where it is not
    /// there yet
    #[arg(long, value_name = "SHAPE", value_parser = shape(), conflicts_with = "model")]
    synthetic: Option<&'static Shape>,

    /// Layers of the synthetic model
    #[arg(long, value_name = "N", default_value = "8", value_parser = between(1, 1 << 10), requires = "synthetic")]
    layers: usize,

    /// Format of the synthetic model's weights
    #[arg(long = "type", value_name = "TYPE", default_value = "Q4_0", value_parser = format(), ignore_case = true, requires = "synthetic")]
    format: &'static DynFormat,

    /// Folder of synthetic models [default: gatefold in the user's cache folder]
    #[arg(long, value_name = "DIR", requires = "synthetic")]
    synthetic_dir: Option<PathBuf>,

    /// Print a JSON array, an object per test
    #[arg(long, conflicts_with = "markdown")]
    json: bool,

    /// Print a table in Markdown
    #[arg(long)]
    markdown: bool,
}

fn between(least: u64, most: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least..=most)
}

fn up_to(most: u64) -> RangedU64ValueParser<usize> {
    between(0, most)
}

fn shape() -> impl TypedValueParser<Value = &'static Shape> {
    let by_name = |name: String| SHAPES.iter().find(|shape| shape.name == name);
    PossibleValuesParser::new(SHAPES.iter().map(|shape| shape.name))
        .map(move |name| by_name(name).expect("one of the possible values"))
}

fn format() -> impl TypedValueParser<Value = &'static DynFormat> {
    PossibleValuesParser::new(FORMATS.iter().map(|format| format.name))
        .map(|name| DynFormat::by_name(&name).expect("one of the possible values"))
}

/// Runs it.
pub fn run(args: BenchArgs) -> Result<()> {
    let compute = args.compute.resolve()?;
    let made = match args.synthetic {
        Some(shape) => Some(make(shape, &args, &compute)?),
        None => None,
    };
    let gguf = open_model(made.as_deref().or(args.model.as_deref()))?;
    let model = Model::load(&gguf)?;
    let context_len = model.config().context_len;
    let prompts = match &args.prompts[..] {
        [] => &[512.min(context_len)],
        prompts => prompts,
    };
    let n_decode = args.n_decode.unwrap_or(32.min(context_len));
    let tests = Test::all(prompts, n_decode, &args.depths, &args.batches);
    let memory = Memory {
        memory_bytes: args.memory,
        cache_format: Some(args.cache_type),
        // Each test keeps its sequences from round to round.
        context_len: Some(tests.iter().map(|test| test.n_cached()).sum()),
        max_batched_tokens: args.step_len,
        is_for_many: false,
    };
    let model = model.in_memory(&gguf, &memory, reading(printable(gguf.path().display())))?;
    let worth = model.shares().and_then(|shares| shares.max_batched_tokens);
    let options = Options {
        tests,
        n_rounds: args.rounds,
        step_len: args.step_len.or(worth).unwrap_or(DEFAULT_BATCH),
        cache_format: args.cache_type,
    };
    let n_runs = options.n_rounds * options.tests.len();
    let bar = progress_bar(n_runs, "tests");
    let log = PatientLog::begin();
    let measurements = measure(&gguf, &model, &compute, &options, |n_done, next| {
        bar.set_position(n_done as u64);
        bar.set_message(next.to_string());
        log.doing(format!("{next}: {n_done} of {n_runs} tests done"));
    })?;
    drop(log);
    bar.finish_and_clear();
    let setup = Setup {
        model: gguf.path().display().to_string(),
        isa: compute.isa.name(),
        n_threads: compute.n_threads(),
        n_rounds: options.n_rounds,
        cache_type: options.cache_format.name,
        resident_share: model.residence().map(|residence| residence.expert_share),
    };
    let mut out = io::stdout().lock();
    if args.json {
        print_json(&setup, &measurements, &mut out)
    } else if args.markdown {
        print_markdown(&setup, &measurements, &mut out)
    } else {
        print_table(&setup, &measurements, &mut out)
    }
    .map_err(Into::into)
}

/// The path of the synthetic model, which is made if need be.
fn make(shape: &Shape, args: &BenchArgs, compute: &Compute) -> Result<PathBuf> {
    let synthetic = Synthetic::new(shape, args.layers, args.format)?;
    let folder = args.synthetic_dir.clone().unwrap_or_else(cache_folder);
    let bar = amount_bar(0, "bytes").with_message("making the synthetic model");
    let path = synthetic.make(&folder, compute, |written, n_bytes| {
        bar.set_length(n_bytes);
        bar.set_position(written);
    })?;
    bar.finish_and_clear();
    print_note(format_args!("the synthetic model is {}", path.display()));
    Ok(path)
}

/// Where files belong that can be made again.
fn cache_folder() -> PathBuf {
    let folder = |variable| env::var_os(variable).filter(|folder| !folder.is_empty());
    let cache = folder("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&folder("HOME")?).join(".cache")));
    cache.unwrap_or_else(env::temp_dir).join("gatefold")
}

/// How it was measured.
#[derive(Serialize)]
struct Setup {
    model: String,
    isa: &'static str,
    n_threads: usize,
    n_rounds: usize,
    cache_type: &'static str,
    /// The part of the experts that stays in memory, where the model is larger.
    resident_share: Option<f64>,
}

impl Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setup { model, isa, n_threads, n_rounds, cache_type, resident_share } = self;
        let (model, s) = (printable(model), if *n_threads == 1 { "" } else { "s" });
        write!(
            f,
            "{model}: {n_threads} thread{s}, {isa}, {cache_type} cache, medians of {n_rounds}"
        )?;
        match resident_share {
            None => Ok(()),
            Some(share) => write!(f, ", {:.0}% of the experts in memory", 100.0 * share),
        }
    }
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    measurement: &'a Measurement,
    #[serde(flatten)]
    setup: &'a Setup,
}

fn print_json(setup: &Setup, measurements: &[Measurement], out: &mut impl Write) -> io::Result<()> {
    let rows = measurements.iter().map(|measurement| Row { measurement, setup });
    serde_json::to_writer_pretty(&mut *out, &rows.collect::<Vec<_>>()).map_err(io::Error::from)?;
    writeln!(out)
}

const HEADER: [&str; 6] = ["test", "tokens/s", "slowest", "fastest", "reached", "share"];

fn cells(measurement: &Measurement) -> [String; 6] {
    let reached = measurement.reached();
    let (unit, ceiling) = match measurement.ceiling {
        Ceiling::ReadBandwidth => ("GB/s", "read"),
        Ceiling::Int8Rate => ("GMAC/s", "int8"),
        Ceiling::Disk => ("GB/s", "disk"),
    };
    let (rate, most) = (reached.rate / 1e9, reached.ceiling / 1e9);
    let share = format!("{:.0}%", 100.0 * measurement.ceiling_share);
    let share = match measurement.disk_bytes_per_token as u64 {
        0 => share,
        from_disk => format!("{share}, {} a token from the disk", bytes(from_disk)),
    };
    [
        measurement.test.clone(),
        format!("{:.2}", measurement.tokens_per_second),
        format!("{:.2}", measurement.tokens_per_second_min),
        format!("{:.2}", measurement.tokens_per_second_max),
        format!("{rate:.1} of {most:.1} {unit} {ceiling}"),
        share,
    ]
}

fn print_table(
    setup: &Setup,
    measurements: &[Measurement],
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "{setup}")?;
    let rows = measurements.iter().map(cells);
    for [test, cells @ ..] in [HEADER.map(str::to_owned)].into_iter().chain(rows) {
        let [median, min, max, reached, share] = cells;
        writeln!(out, "{test:<14}{median:>10}{min:>10}{max:>10}{reached:>32}{share:>7}")?;
    }
    Ok(())
}

fn print_markdown(
    setup: &Setup,
    measurements: &[Measurement],
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "{setup}\n")?;
    let rows = measurements.iter().map(cells);
    let line = ["---", "---:", "---:", "---:", "---:", "---:"].map(str::to_owned);
    for row in [HEADER.map(str::to_owned), line].into_iter().chain(rows) {
        writeln!(out, "| {} |", row.join(" | "))?;
    }
    Ok(())
}
