//! What a model predicted for a text, in a file: to compare other models with it later.
//!
//! Little-endian, one after the other:
//!
//! | what | type |
//! | --- | --- |
//! | `GATEBASE` | 8 bytes |
//! | version, 1 | u32 |
//! | `n_vocab`, logits in a row | u32 |
//! | tokens of a window | u64 |
//! | number of windows | u64 |
//! | SHA-256 of the vocabulary | 32 bytes |
//! | tokens of all windows | u32 each |
//! | a row for each scored token: how far each logit is below the largest of the row, in steps of 2^-11 nats, rounded up; 65535 is 32 nats or more | `n_vocab` u16 each |
//!
//! Any numbers in a row are a prediction, and the largest logit is exactly the one that it was. A
//! step of 0.0005 nats is a divergence of about 1e-8 between a model and what was saved of it.

use super::error::SavedProblem;
use super::vocabulary::Vocabulary;
use super::{EvalError, Windows};
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// How such a file begins.
pub const MAGIC: [u8; 8] = *b"GATEBASE";
const VERSION: u32 = 1;
const STEPS_PER_NAT: f32 = 2048.0;

/// All of a header but magic and version.
#[derive(Clone, Copy)]
struct Header {
    n_vocab: u32,
    window_len: u64,
    n_windows: u64,
    vocabulary: [u8; 32],
}

impl Header {
    fn of(vocabulary: Vocabulary<'_>, windows: &Windows) -> Header {
        Header {
            // Token ids are u32.
            n_vocab: vocabulary.n_logits as u32,
            window_len: windows.window_len() as u64,
            n_windows: windows.n_windows() as u64,
            vocabulary: vocabulary.digest(),
        }
    }

    fn write(self, mut out: impl Write) -> io::Result<()> {
        out.write_all(&MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&self.n_vocab.to_le_bytes())?;
        out.write_all(&self.window_len.to_le_bytes())?;
        out.write_all(&self.n_windows.to_le_bytes())?;
        out.write_all(&self.vocabulary)
    }

    fn read(mut input: impl Read) -> Result<Header, SavedProblem> {
        let mut next = || array::<4>(&mut input).map(u32::from_le_bytes);
        let magic = [next()?, next()?].map(u32::to_le_bytes);
        if magic.as_flattened() != MAGIC {
            return Err(SavedProblem::NotSaved);
        }
        let found = next()?;
        if found != VERSION {
            return Err(SavedProblem::Version { found, expected: VERSION });
        }
        Ok(Header {
            n_vocab: next()?,
            window_len: u64::from_le_bytes(array(&mut input)?),
            n_windows: u64::from_le_bytes(array(&mut input)?),
            vocabulary: array(&mut input)?,
        })
    }

    fn check(self, expected: Header) -> Result<(), SavedProblem> {
        if (self.n_vocab, self.vocabulary) != (expected.n_vocab, expected.vocabulary) {
            let (found, expected) = (self.n_vocab, expected.n_vocab);
            return Err(SavedProblem::Vocabulary { found, expected });
        }
        if self.window_len != expected.window_len {
            let (found, expected) = (self.window_len, expected.window_len);
            return Err(SavedProblem::WindowLen { found, expected });
        }
        if self.n_windows != expected.n_windows {
            let (found, expected) = (self.n_windows, expected.n_windows);
            return Err(SavedProblem::TextLen { found, expected });
        }
        Ok(())
    }
}

fn array<const N: usize>(mut input: impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes the logits of a base.
pub struct SavedBaseWriter<W: Write> {
    out: W,
    n_vocab: usize,
    row: Vec<u8>,
}

impl<W: Write> SavedBaseWriter<W> {
    /// Writes all that comes before the rows.
    ///
    /// # Errors
    /// If `out` refuses it.
    pub fn new(
        mut out: W,
        vocabulary: Vocabulary<'_>,
        windows: &Windows,
    ) -> io::Result<SavedBaseWriter<W>> {
        Header::of(vocabulary, windows).write(&mut out)?;
        for token in windows.tokens() {
            out.write_all(&token.to_le_bytes())?;
        }
        Ok(SavedBaseWriter { out, n_vocab: vocabulary.n_logits, row: Vec::new() })
    }

    /// Writes the logits of the next scored tokens, `[n_rows, n_vocab]`.
    ///
    /// # Errors
    /// If the output refuses them.
    pub fn write(&mut self, logits: &[f32]) -> io::Result<()> {
        for logits in logits.chunks_exact(self.n_vocab) {
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            self.row.clear();
            // Converting to u16 ends at 65535.
            let steps = logits.iter().map(|logit| ((max - logit) * STEPS_PER_NAT).ceil() as u16);
            self.row.extend(steps.flat_map(u16::to_le_bytes));
            self.out.write_all(&self.row)?;
        }
        Ok(())
    }

    /// Flushes and returns the output.
    ///
    /// # Errors
    /// If the output refuses it.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The saved logits of a base, read from first to last.
pub struct SavedBase {
    file: File,
    path: String,
    n_vocab: usize,
}

impl SavedBase {
    /// Whether a file begins as saved logits do.
    pub fn is_at(path: &Path) -> bool {
        // Opening a pipe would wait for who writes to it.
        let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
        is_file && File::open(path).and_then(array).is_ok_and(|magic| magic == MAGIC)
    }

    /// Opens what was saved of a model with this vocabulary over these windows.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or was saved over something else.
    pub fn open(
        path: &Path,
        vocabulary: Vocabulary<'_>,
        windows: &Windows,
    ) -> Result<SavedBase, EvalError> {
        let name = path.display().to_string();
        match Self::open_file(path, vocabulary, windows) {
            Ok(file) => Ok(SavedBase { file, path: name, n_vocab: vocabulary.n_logits }),
            Err(problem) => Err(EvalError::Saved { path: name, problem }),
        }
    }

    /// The file, read up to the first row.
    fn open_file(
        path: &Path,
        vocabulary: Vocabulary<'_>,
        windows: &Windows,
    ) -> Result<File, SavedProblem> {
        let mut file = File::open(path)?;
        Header::read(&file)?.check(Header::of(vocabulary, windows))?;
        let mut tokens = vec![0; size_of_val(windows.tokens())];
        file.read_exact(&mut tokens)?;
        let found = tokens.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes));
        for (position, (found, &expected)) in found.zip(windows.tokens()).enumerate() {
            if found != expected {
                return Err(SavedProblem::Text { position, found, expected });
            }
        }
        let rows_bytes = windows.n_scored() as u64 * vocabulary.n_logits as u64 * 2;
        let (found, expected) = (file.metadata()?.len(), file.stream_position()? + rows_bytes);
        if found != expected {
            return Err(SavedProblem::Length { found, expected });
        }
        Ok(file)
    }

    /// The file's name.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Logits of the next scored tokens, `[n_rows, n_vocab]`, the largest of each row being 0.
    pub(super) fn read(&mut self, n_rows: usize) -> Result<Vec<f32>, EvalError> {
        let mut bytes = vec![0; n_rows * self.n_vocab * 2];
        self.file
            .read_exact(&mut bytes)
            .map_err(|error| EvalError::Saved { path: self.path.clone(), problem: error.into() })?;
        let steps = bytes.as_chunks().0.iter().map(|&bytes| u16::from_le_bytes(bytes));
        Ok(steps.map(|steps| -f32::from(steps) / STEPS_PER_NAT).collect())
    }
}
