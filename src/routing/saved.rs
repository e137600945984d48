//! Counts in a file, so that a run that was stopped goes on.

use super::counts::{Counts, Shape};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use thiserror::Error;

/// What a file of counts begins with.
const MAGIC: &[u8] = b"gatefold routing counts 1\n";

/// Longest line with what a file is about.
const MAX_HEADER: u64 = 4096;

/// Why counts cannot be read back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SavedCountsError {
    /// The system says no, or the file ends too early.
    #[error("cannot be read: {0}; delete it, and the texts are read from the beginning")]
    Read(#[from] io::Error),
    /// Something else, or something that was damaged.
    #[error("is not a whole file of counts; delete it, or name another")]
    Foreign,
    /// It belongs to another analysis.
    #[error(
        "has the counts of another analysis: other texts, another model or other settings; delete it, or name another"
    )]
    Other,
}

#[derive(Serialize, Deserialize)]
struct Header {
    key: String,
    shape: Shape,
    n_rows: usize,
    n_left_out: u64,
}

/// Writes counts that belong to the analysis `key`.
///
/// # Errors
/// If they cannot be written.
pub fn save(counts: &Counts, key: &str, mut out: impl Write) -> io::Result<()> {
    let header = Header {
        key: key.to_owned(),
        shape: counts.shape,
        n_rows: counts.tokens.cells()[0].len(),
        n_left_out: counts.tokens.n_left_out(),
    };
    out.write_all(MAGIC)?;
    serde_json::to_writer(&mut out, &header)?;
    out.write_all(b"\n")?;
    for cell in counts.cells().into_iter().flatten() {
        out.write_all(&cell.to_le_bytes())?;
    }
    for cell in counts.tokens.cells().into_iter().flatten() {
        out.write_all(&cell.to_le_bytes())?;
    }
    out.flush()
}

/// Reads counts of this shape back that belong to the analysis `key`.
///
/// # Errors
/// If they are of another one, or the file is damaged.
pub fn load(shape: Shape, key: &str, file: impl Read) -> Result<Counts, SavedCountsError> {
    let mut file = io::BufReader::new(file);
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).map_err(|_| SavedCountsError::Foreign)?;
    if magic != MAGIC {
        return Err(SavedCountsError::Foreign);
    }
    let mut line = Vec::new();
    io::BufRead::read_until(&mut file.by_ref().take(MAX_HEADER), b'\n', &mut line)?;
    let header: Header = serde_json::from_slice(&line).map_err(|_| SavedCountsError::Foreign)?;
    if header.key != key || header.shape != shape {
        return Err(SavedCountsError::Other);
    }
    let mut counts = Counts::new(shape);
    if header.n_rows > counts.tokens.max_rows() {
        return Err(SavedCountsError::Foreign);
    }
    for cell in counts.cells_mut().into_iter().flatten() {
        let mut bytes = [0; 8];
        file.read_exact(&mut bytes)?;
        *cell = u64::from_le_bytes(bytes);
    }
    let mut word = || {
        let mut bytes = [0; 4];
        file.read_exact(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    };
    let ids = (0..header.n_rows).map(|_| word()).collect::<io::Result<Vec<u32>>>()?;
    let rows = counts.tokens.with_rows(ids, header.n_left_out).ok_or(SavedCountsError::Foreign)?;
    for cell in rows.into_iter().flatten() {
        *cell = word()?;
    }
    match file.read(&mut [0])? {
        0 if counts.is_sound() => Ok(counts),
        _ => Err(SavedCountsError::Foreign),
    }
}
