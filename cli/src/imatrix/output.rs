//! Where importance matrices go, and what is said of them.

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use gatefold::files::{Replacement, check_is_file};
use gatefold::imatrix::{ENOUGH_TOKENS, Imatrix};
use gatefold::text::printable;
use std::io::{BufWriter, Write};
use std::path::Path;

/// The forms of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// GGUF, with the tokens that each expert saw.
    Gguf,
    /// llama.cpp's of before July 2025.
    Dat,
}

/// Refuses to write over anything but an importance matrix.
///
/// # Errors
/// If something else is at `path`.
pub fn check_output(path: &Path) -> Result<()> {
    check_is_file(path)?;
    let is_ours = !path.exists() || Imatrix::open(path).is_ok();
    ensure!(
        is_ours,
        "cannot write {}: it exists and is no importance matrix; remove it, or name another file",
        printable(path.display())
    );
    Ok(())
}

/// Writes it beside its place, and puts it there.
///
/// # Errors
/// If it cannot be written.
pub fn write(imatrix: &Imatrix, path: &Path, form: Form) -> Result<()> {
    let write = || {
        let mut file = BufWriter::new(Replacement::of(path)?);
        match form {
            Form::Gguf => imatrix.write_gguf(&mut file)?,
            Form::Dat => imatrix.write_legacy(&mut file)?,
        }
        file.flush()?;
        file.into_inner().map_err(|error| error.into_error())?.put_in_place()?;
        anyhow::Ok(())
    };
    write().with_context(|| format!("cannot write {}", printable(path.display())))
}

/// What is to be said of experts that saw few tokens: a sentence, if there are such.
pub fn describe(imatrix: &Imatrix) -> Option<String> {
    let thin = imatrix.thin();
    let least = thin.iter().min_by_key(|thin| thin.n_tokens)?;
    let of = imatrix.entries().filter(|(_, entry)| entry.counts.len() > 1);
    let n_experts: usize = of.map(|(_, entry)| entry.counts.len()).sum();
    Some(format!(
        "{} of {n_experts} experts' matrices saw fewer than {ENOUGH_TOKENS} tokens, {} of expert {} {}: such figures are mixed with the mean of their tensor; a longer text has more",
        thin.len(),
        printable(&least.entry),
        least.expert_idx,
        least.n_tokens,
    ))
}
