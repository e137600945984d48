//! Importance matrices in llama.cpp's older form, `.dat`, little-endian:
//!
//! ```text
//! i32 n_entries
//! n_entries times   i32 len, the name; i32 n_calls; i32 n_values, f32 values
//! perhaps           i32 chunks; i32 len, what the text is called
//! ```
//!
//! A value is a mean of squares times `n_calls`. How many tokens each expert saw is not told, and one
//! without any has ones. Files of before March 2024 have an entry for each expert that saw something.

use super::{Entry, Imatrix, Problem};
use crate::architecture::LLAMA;
use crate::model::{of_units, to_units};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Tokens of a window, which such a file does not tell: what llama-imatrix takes unless it is told
/// otherwise.
const CHUNK_LEN: u64 = 512;

/// Experts of a layer for each that a file has: all of Mixtral's, where only one saw something.
const MOST_MISSING: usize = 8;

/// Reads the bytes of a file.
pub(super) fn read(bytes: &[u8]) -> Result<Imatrix, Problem> {
    let mut input = Input(bytes);
    let n_entries = input.i32("the number of entries")?;
    if n_entries < 1 {
        return Err(Problem::foreign("it begins with no number of entries"));
    }
    let mut imatrix = Imatrix { chunk_len: CHUNK_LEN, ..Imatrix::default() };
    let mut experts: BTreeMap<String, BTreeMap<usize, Entry>> = BTreeMap::new();
    for idx in 0..n_entries {
        let name = input.text(&format!("the name of entry {}", idx + 1))?;
        let n_calls = input.i32(&name)?;
        let n_values = input.i32(&name)?;
        let values = usize::try_from(n_values).ok().and_then(|n| input.take(n.checked_mul(4)?));
        let values = values.ok_or_else(|| Problem::Truncated { item: format!("entry {name}") })?;
        let values: Vec<f32> =
            values.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        if values.is_empty() || !values.iter().all(|value| *value >= 0.0 && value.is_finite()) {
            return Err(Problem::Value { entry: name });
        }
        let n_calls = n_calls.max(1) as u64;
        let sums = values.iter().map(|&value| to_units(f64::from(value) * CHUNK_LEN as f64));
        let entry = Entry { counts: vec![n_calls * CHUNK_LEN], units: sums.collect() };
        imatrix.n_chunks = imatrix.n_chunks.max(n_calls);
        match LLAMA.expert_tensor(&name) {
            Some(expert) => {
                let merged = expert.spec.merged_name(expert.layer_idx);
                let known = experts.entry(merged).or_default().insert(expert.expert_idx, entry);
                if known.is_some() {
                    return Err(Problem::Twice { entry: name });
                }
            }
            None => imatrix.insert(name, entry)?,
        }
    }
    for (name, experts) in experts {
        let entry = joined(&name, experts)?;
        imatrix.insert(name, entry)?;
    }
    if !input.0.is_empty() {
        imatrix.n_chunks = input.i32("the number of chunks")?.max(0) as u64;
        if !input.0.is_empty() {
            imatrix.datasets = vec![input.text("the name of the text")?];
        }
    }
    Ok(imatrix)
}

/// One entry for all experts up to the last; those that are missing saw nothing.
fn joined(name: &str, experts: BTreeMap<usize, Entry>) -> Result<Entry, Problem> {
    let n_matrices = experts.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
    let cols = experts.values().next().map_or(0, |entry| entry.units.len());
    if n_matrices > experts.len() * MOST_MISSING {
        let n_values = experts.len() * cols;
        return Err(Problem::Shape { entry: name.into(), n_values, n_matrices, cols });
    }
    let mut joined = Entry { counts: vec![0; n_matrices], units: vec![0; n_matrices * cols] };
    for (idx, entry) in experts {
        if entry.units.len() != cols {
            let n_values = entry.units.len();
            return Err(Problem::Shape { entry: name.into(), n_values, n_matrices: 1, cols });
        }
        joined.counts[idx] = entry.counts[0];
        joined.units[idx * cols..][..cols].copy_from_slice(&entry.units);
    }
    Ok(joined)
}

/// What of a file is still to be read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn i32(&mut self, item: &str) -> Result<i32, Problem> {
        let bytes = self.take(4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(i32::from_le_bytes).ok_or_else(|| Problem::Truncated { item: item.into() })
    }

    fn text(&mut self, item: &str) -> Result<String, Problem> {
        let len = self.i32(item)?;
        let bytes = usize::try_from(len).ok().and_then(|len| self.take(len));
        let bytes = bytes.ok_or_else(|| Problem::Truncated { item: item.into() })?;
        let text = str::from_utf8(bytes).ok();
        text.map(str::to_owned).ok_or_else(|| Problem::foreign(format!("{item} is no text")))
    }
}

impl Imatrix {
    /// Writes it as llama-imatrix did before July 2025. What each expert saw is lost, and tensors of
    /// which nothing is known are left out.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_legacy(&self, mut out: impl Write) -> io::Result<()> {
        let known = self.entries.iter().filter(|(_, entry)| entry.counts.iter().any(|&n| n > 0));
        let known: Vec<_> = known.collect();
        let chunk_len = if self.chunk_len > 0 { self.chunk_len } else { CHUNK_LEN };
        write_i32(&mut out, known.len() as u64)?;
        for (name, Entry { counts, units }) in known {
            let n_calls = counts.iter().max().map_or(0, |most| most.div_ceil(chunk_len));
            write_text(&mut out, name)?;
            write_i32(&mut out, n_calls)?;
            write_i32(&mut out, units.len() as u64)?;
            let cols = units.len() / counts.len();
            for (sums, &count) in units.chunks(cols).zip(counts) {
                for &sum in sums {
                    let mean = if count > 0 { of_units(sum) as f32 / count as f32 } else { 1.0 };
                    out.write_all(&(mean * n_calls as f32).to_le_bytes())?;
                }
            }
        }
        write_i32(&mut out, self.n_chunks)?;
        write_text(&mut out, self.datasets.last().map_or("", String::as_str))?;
        out.flush()
    }
}

fn write_i32(out: &mut impl Write, number: u64) -> io::Result<()> {
    out.write_all(&i32::try_from(number).unwrap_or(i32::MAX).to_le_bytes())
}

fn write_text(out: &mut impl Write, text: &str) -> io::Result<()> {
    write_i32(out, text.len() as u64)?;
    out.write_all(text.as_bytes())
}
