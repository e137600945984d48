//! Counts in a file, so that a run that was stopped goes on.

use super::counts::{Counts, Shape};
use crate::files::{Hashed, array};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use thiserror::Error;

/// What a file of counts begins with.
const MAGIC: &[u8; 26] = b"gatefold routing counts 2\n";

/// Longest line with what a file is about.
const MAX_HEADER: u64 = 4096;

/// Why counts cannot be read back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SavedCountsError {
    /// The system says no.
    #[error("cannot be read: {0}; delete it, and the texts are read from the beginning")]
    Read(io::Error),
    /// Something else, or something that was damaged or cut.
    #[error("is not a whole file of counts; delete it, or name another")]
    Foreign,
    /// It belongs to another analysis.
    #[error(
        "has the counts of another analysis: other texts, another model or other settings; delete it, or name another"
    )]
    Other,
}

impl From<io::Error> for SavedCountsError {
    fn from(error: io::Error) -> SavedCountsError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => SavedCountsError::Foreign,
            _ => SavedCountsError::Read(error),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    key: String,
    shape: Shape,
    n_rows: usize,
    n_left_out: u64,
}

/// Writes counts that belong to the analysis `key`: a line that says what follows, the counts
/// (little-endian), and SHA-256 over all of it.
///
/// # Errors
/// If they cannot be written.
pub fn save(counts: &Counts, key: &str, out: impl Write) -> io::Result<()> {
    let mut out = Hashed::new(out);
    let header = Header {
        key: key.to_owned(),
        shape: counts.shape,
        n_rows: counts.tokens.cells()[0].len(),
        n_left_out: counts.tokens.n_left_out(),
    };
    out.write_all(MAGIC)?;
    out.write_all(serde_json::to_string(&header)?.as_bytes())?;
    out.write_all(b"\n")?;
    for cell in counts.cells().into_iter().flatten() {
        out.write_all(&cell.to_le_bytes())?;
    }
    for cell in counts.tokens.cells().into_iter().flatten() {
        out.write_all(&cell.to_le_bytes())?;
    }
    let (mut out, hash) = out.finish();
    out.write_all(&hash)?;
    out.flush()
}

/// Reads counts of this shape back that belong to the analysis `key`.
///
/// # Errors
/// If they are of another one, or the file is damaged.
pub fn load(shape: Shape, key: &str, file: impl Read) -> Result<Counts, SavedCountsError> {
    let mut file = Hashed::new(BufReader::new(file));
    if array(&mut file).ok().as_ref() != Some(MAGIC) {
        return Err(SavedCountsError::Foreign);
    }
    let mut line = Vec::new();
    file.by_ref().take(MAX_HEADER).read_until(b'\n', &mut line)?;
    let header: Header = serde_json::from_slice(&line).map_err(|_| SavedCountsError::Foreign)?;
    if header.key != key || header.shape != shape {
        return Err(SavedCountsError::Other);
    }
    let mut counts = Counts::new(shape);
    if header.n_rows > counts.tokens.max_rows() {
        return Err(SavedCountsError::Foreign);
    }
    for cell in counts.cells_mut().into_iter().flatten() {
        *cell = u64::from_le_bytes(array(&mut file)?);
    }
    let ids: io::Result<Vec<u32>> = (0..header.n_rows).map(|_| word(&mut file)).collect();
    let rows = counts.tokens.with_rows(ids?, header.n_left_out).ok_or(SavedCountsError::Foreign)?;
    for cell in rows.into_iter().flatten() {
        *cell = word(&mut file)?;
    }
    let (mut file, hash) = file.finish();
    let is_whole = array(&mut file)? == hash && file.fill_buf()?.is_empty();
    if is_whole && counts.is_sound() { Ok(counts) } else { Err(SavedCountsError::Foreign) }
}

fn word(file: &mut impl Read) -> io::Result<u32> {
    array(file).map(u32::from_le_bytes)
}
