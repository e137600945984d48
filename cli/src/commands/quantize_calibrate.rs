//! `gatefold quantize --imatrix` and `--calibrate`: how much errors count.

use crate::args::model::DEFAULT_BATCH;
use crate::imatrix::{Form, Source, Work, check_output, describe, write};
use crate::terminal::print_note;
use crate::terminal::progress::progress_bar;
use anyhow::{Context, Result};
use clap::Args;
use gatefold::checkpoint::Checkpoint;
use gatefold::eval::Windows;
use gatefold::files::with_suffix;
use gatefold::gguf::{Gguf, Value};
use gatefold::imatrix::Imatrix;
use gatefold::quantize::{NamedImatrix, Options, Output, Plan, quantize, recipe};
use gatefold::text::{hex, printable};
use gatefold::tokenizer::Specials;
use gatefold::{Compute, DynFormat, LanguageModel};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Tokens of a window, as those of `imatrix`.
const WINDOW: usize = 512;

/// What a checkpoint becomes for as long as it is read: the precision of the model hardly matters.
const RUNNABLE: &str = "Q4_K_M";

/// The key by which such a file tells of what it was made.
const SOURCE: &str = "gatefold.source";

/// How much errors count.
#[derive(Args)]
pub struct ImportanceArgs {
    /// Let errors count as this importance matrix says, which `gatefold imatrix` or llama-imatrix made
    #[arg(long, value_name = "FILE")]
    imatrix: Option<PathBuf>,

    /// Find out first how much errors count, from this text or one in the program: what comes of it is
    /// kept in OUTPUT.imatrix.gguf
    #[arg(long, value_name = "TEXT", num_args = 0..=1, conflicts_with_all = ["imatrix", "dry_run"])]
    calibrate: Option<Option<PathBuf>>,
}

impl ImportanceArgs {
    /// Whether there will be one.
    pub fn is_given(&self) -> bool {
        self.imatrix.is_some() || self.calibrate.is_some()
    }

    /// The importance matrix, if one is wanted; made first for the file at `output`, where that is
    /// wanted.
    pub fn resolve(
        &self,
        checkpoint: &Checkpoint,
        output: Option<&Path>,
        compute: &Compute,
    ) -> Result<Option<Arc<NamedImatrix>>> {
        let (name, imatrix) = match (&self.imatrix, &self.calibrate, output) {
            (Some(path), _, _) => (path.clone(), Imatrix::open(path)?),
            (None, Some(text), Some(output)) => {
                let name = with_suffix(output, ".imatrix.gguf");
                calibrate(checkpoint, text.as_deref(), &name, compute)?;
                // Files round the sums: whoever quantizes by this one later is to get the same.
                let imatrix = Imatrix::open(&name)?;
                (name, imatrix)
            }
            _ => return Ok(None),
        };
        if let Some(note) = describe(&imatrix) {
            print_note(format_args!("note: {note}"));
        }
        let name = name.display().to_string();
        Ok(Some(Arc::new(NamedImatrix { name, imatrix })))
    }

    /// Forgets how far the calibration for the file at `output` was, which is made.
    pub fn finish(&self, output: &Path) {
        if self.calibrate.is_some() {
            // It does no harm where it stays.
            let _ = fs::remove_file(with_suffix(&with_suffix(output, ".imatrix.gguf"), ".part"));
        }
    }
}

/// Makes an importance matrix of a checkpoint, at `path`.
fn calibrate(
    checkpoint: &Checkpoint,
    text: Option<&Path>,
    path: &Path,
    compute: &Compute,
) -> Result<()> {
    check_output(path)?;
    let source = match text {
        Some(text) => Source::File { path: text.into(), specials: Specials::AsText },
        None => Source::Own,
    };
    let runnable = with_suffix(path, ".model");
    let is_gguf = checkpoint.path.is_file() && LanguageModel::open(&checkpoint.path).is_ok();
    if !is_gguf {
        convert(checkpoint, &runnable, compute)?;
    }
    let language = LanguageModel::open(if is_gguf { &checkpoint.path } else { &runnable })?;
    let tokens = source.tokens(&language)?;
    let window_len = WINDOW.min(language.model.config().context_len);
    let work = Work {
        compute,
        cache_format: DynFormat::by_name("F32").context("F32 is registered")?,
        batch_len: DEFAULT_BATCH,
        windows: Windows::new(&tokens, language.tokenizer.first_token(), window_len)?,
        dataset: source.name(),
        language: &language,
    };
    let bar = progress_bar(work.windows.n_windows(), "windows");
    // As quantizing itself, it is ended by whatever ends the program.
    let (state, interrupted) = (with_suffix(path, ".part"), AtomicBool::new(false));
    let found = work.run(&state, &interrupted, |n_done| bar.set_position(n_done as u64))?;
    bar.finish_and_clear();
    write(&found.context("nothing interrupts it")?, path, Form::Gguf)?;
    if !is_gguf {
        fs::remove_file(&runnable).with_context(|| printable(runnable.display()))?;
    }
    Ok(())
}

/// Makes a file that runs, unless an earlier run has made it of the same files.
fn convert(checkpoint: &Checkpoint, path: &Path, compute: &Compute) -> Result<()> {
    let mut source = Sha256::new();
    for file in &checkpoint.files {
        source.update(format!("{:?} {} {:?}\n", file.path, file.n_bytes, file.modified));
    }
    let source = hex(source.finalize());
    if let Ok(made) = Gguf::open(path)
        && made.metadata().str(SOURCE)?.is_some_and(|made| made == source)
    {
        return Ok(());
    }
    print_note(format_args!("making {} to read the text with", printable(path.display())));
    let options =
        Options { recipe: recipe::by_name(RUNNABLE), allow_requantize: true, ..Options::default() };
    let mut plan = Plan::new(checkpoint, &options)?;
    plan.metadata.set(SOURCE, Value::String(source));
    let output = Output::open(checkpoint, &plan, path, true)?;
    quantize(checkpoint, &plan, output, compute, |_| ())?;
    Ok(())
}
