//! Sums in a file with all their digits, so that a run that was stopped goes on.

use super::{Entry, Imatrix, Problem};
use crate::files::{Hashed, array};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};

/// What a file of sums begins with.
pub(super) const MAGIC: &[u8; 29] = b"gatefold sums of squares, v1\n";

/// Longest line with what a file, or an entry, is about.
const MAX_LINE: u64 = 64 << 10;

#[derive(Serialize, Deserialize)]
struct Header {
    key: String,
    datasets: Vec<String>,
    n_chunks: u64,
    chunk_len: u64,
    n_entries: usize,
}

#[derive(Serialize, Deserialize)]
struct EntryHeader {
    name: String,
    n_counts: usize,
    n_sums: usize,
}

/// Writes sums that belong to the work `key`: a line that says what follows, then for each tensor a
/// line and its numbers (little-endian), and SHA-256 over all of it.
///
/// # Errors
/// If they cannot be written.
pub fn save(imatrix: &Imatrix, key: &str, out: impl Write) -> io::Result<()> {
    let mut out = Hashed::new(out);
    let Imatrix { datasets, n_chunks, chunk_len, entries } = imatrix;
    let header = Header {
        key: key.to_owned(),
        datasets: datasets.clone(),
        n_chunks: *n_chunks,
        chunk_len: *chunk_len,
        n_entries: entries.len(),
    };
    out.write_all(MAGIC)?;
    write_line(&mut out, &header)?;
    for (name, Entry { counts, units }) in entries {
        let (name, n_counts, n_sums) = (name.clone(), counts.len(), units.len());
        write_line(&mut out, &EntryHeader { name, n_counts, n_sums })?;
        let counts = counts.iter().flat_map(|count| count.to_le_bytes());
        let sums = units.iter().flat_map(|sum| sum.to_le_bytes());
        out.write_all(&counts.chain(sums).collect::<Vec<u8>>())?;
    }
    let (mut out, hash) = out.finish();
    out.write_all(&hash)?;
    out.flush()
}

/// Reads sums back that belong to the work `key`, or to whatever work where there is none.
///
/// # Errors
/// If they are of another one, or the file is damaged.
pub fn load(key: Option<&str>, file: impl Read) -> Result<Imatrix, Problem> {
    let mut file = Hashed::new(BufReader::new(file));
    if array(&mut file).ok().as_ref() != Some(MAGIC) {
        return Err(Problem::foreign("it has no sums of a run that was stopped"));
    }
    let header: Header = read_line(&mut file)?;
    if key.is_some_and(|key| key != header.key) {
        return Err(Problem::Other);
    }
    let Header { datasets, n_chunks, chunk_len, n_entries, .. } = header;
    let mut imatrix = Imatrix { datasets, n_chunks, chunk_len, ..Imatrix::default() };
    for _ in 0..n_entries {
        let EntryHeader { name, n_counts, n_sums } = read_line(&mut file)?;
        let cut = |_| Problem::Truncated { item: "its sums".into() };
        // Nothing is set aside for what the file may not have.
        let counts = (0..n_counts).map(|_| array(&mut file).map(u64::from_le_bytes));
        let counts = counts.collect::<io::Result<Vec<u64>>>().map_err(cut)?;
        let sums = (0..n_sums).map(|_| array(&mut file).map(u128::from_le_bytes));
        let units = sums.collect::<io::Result<Vec<u128>>>().map_err(cut)?;
        imatrix.insert(name, Entry { counts, units })?;
    }
    let (mut file, hash) = file.finish();
    let is_whole = array(&mut file).is_ok_and(|found| found == hash) && file.fill_buf()?.is_empty();
    if is_whole { Ok(imatrix) } else { Err(damaged()) }
}

fn damaged() -> Problem {
    Problem::foreign("it is damaged; delete it, and the text is read from the beginning")
}

fn write_line(out: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    out.write_all(serde_json::to_string(line)?.as_bytes())?;
    out.write_all(b"\n")
}

fn read_line<T: for<'a> Deserialize<'a>>(file: &mut impl BufRead) -> Result<T, Problem> {
    let mut line = Vec::new();
    file.take(MAX_LINE).read_until(b'\n', &mut line)?;
    serde_json::from_slice(&line).map_err(|_| damaged())
}
