//! Where slices end: the files, one after the other, and what puts them on the disk.

use super::QuantizeError;
use super::journal::Journal;
use super::output::FileToWrite;
use super::paths::sync_folder;
use crate::files::sync_data;
use crate::gguf::{WriteError, Writer};
use crossbeam_channel::{Receiver, Sender};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use std::vec;

/// Writes the tensors of all files in order, and says which can be committed.
pub struct Sink<'a> {
    /// Files to come.
    files: vec::IntoIter<&'a FileToWrite>,
    current: Option<Current<'a>>,
    /// Tensors written, of all files.
    n_finished: usize,
    /// Bytes written, of all files.
    written: u64,
    /// Bytes of all files.
    planned: u64,
    commits: Sender<Commit>,
}

/// The file being written.
struct Current<'a> {
    file: &'a FileToWrite,
    handle: Arc<File>,
    writer: Writer<Arc<File>>,
}

/// A file that is written up to a tensor, and shall be put on the disk.
pub struct Commit {
    handle: Arc<File>,
    path: PathBuf,
    /// Tensors finished, of all files.
    n_finished: usize,
}

impl<'a> Sink<'a> {
    /// Goes on where the work on these files stopped.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn new(
        files: Vec<&'a FileToWrite>,
        n_finished: usize,
        commits: Sender<Commit>,
    ) -> Result<Sink<'a>, QuantizeError> {
        let written = |file: &&FileToWrite| match file.n_finished(n_finished) {
            0 => 0,
            n => file.layout.end_of(n),
        };
        let mut sink = Sink {
            written: files.iter().map(written).sum(),
            planned: files.iter().map(|file| file.layout.n_bytes()).sum(),
            files: files.into_iter(),
            current: None,
            n_finished,
            commits,
        };
        sink.advance()?;
        Ok(sink)
    }

    /// Writes bytes of the next tensor.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// # Panics
    /// If all tensors are written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), QuantizeError> {
        let Current { file, writer, .. } =
            self.current.as_mut().expect("a file with tensors to come");
        let (path, written) = (&file.partial, writer.chunk(bytes));
        written.map_err(|error| self.failed(path, error))?;
        self.written += bytes.len() as u64;
        self.advance()
    }

    /// Tells what is finished, and turns to the next file where that is this whole file.
    fn advance(&mut self) -> Result<(), QuantizeError> {
        loop {
            if let Some(Current { file, handle, writer }) = &self.current {
                let n_finished = self.n_finished.max(file.tensors.start + writer.n_tensors());
                if n_finished > self.n_finished || file.tensors.is_empty() {
                    self.n_finished = n_finished;
                    let (handle, path) = (handle.clone(), file.partial.clone());
                    // Nobody receives where a commit has failed, which its thread reports.
                    let _ = self.commits.send(Commit { handle, path, n_finished });
                }
                if n_finished < file.tensors.end {
                    return Ok(());
                }
            }
            let Some(file) = self.files.next() else { return Ok(()) };
            let current = Current::open(file, self.n_finished);
            self.current = Some(current.map_err(|error| self.failed(&file.partial, error))?);
            // The journal vouches for no tensor of a file whose name a power cut could take. Even
            // where the file was there, its name may not have got that far.
            if file.n_finished(self.n_finished) == 0 {
                sync_folder(&file.partial)?;
            }
        }
    }

    fn failed(&self, path: &Path, error: WriteError) -> QuantizeError {
        let WriteError::Io(error) = error else { return error.into() };
        let (written, planned) = (self.written, self.planned);
        QuantizeError::Midway { path: path.into(), written, planned, error }
    }
}

impl<'a> Current<'a> {
    /// Opens a file where its finished tensors end; what is behind them is cut off.
    fn open(file: &'a FileToWrite, n_finished: usize) -> Result<Current<'a>, WriteError> {
        let options = OpenOptions::new().write(true).create(true).truncate(false).clone();
        let mut handle = Arc::new(options.open(&file.partial)?);
        let layout = file.layout.clone();
        let writer = match file.n_finished(n_finished) {
            0 => {
                handle.set_len(0)?;
                Writer::begin(handle.clone(), layout)?
            }
            n_tensors => {
                let end = layout.end_of(n_tensors);
                handle.set_len(end)?;
                handle.seek(SeekFrom::Start(end))?;
                Writer::resume(handle.clone(), layout, n_tensors)
            }
        };
        Ok(Current { file, handle, writer })
    }
}

/// Puts on the disk what comes, and then tells `journal`, which knows of the first `n_told` of
/// `tensors`, until nothing more comes.
///
/// A slow disk does not stop the work: what is finished during a sync, and for three times as long
/// after it, shares the next one. Syncs thus take a quarter of the disk's time at most, and a kill
/// costs little more than the tensors under way.
///
/// # Errors
/// If a file cannot be synced.
pub fn commit(
    journal: &mut Journal,
    tensors: &[String],
    mut n_told: usize,
    commits: Receiver<Commit>,
) -> Result<(), QuantizeError> {
    let mut not_before = Instant::now();
    while let Ok(first) = commits.recv() {
        let mut batch = vec![first];
        while let Ok(commit) = commits.recv_deadline(not_before) {
            match batch.last_mut().filter(|last| Arc::ptr_eq(&last.handle, &commit.handle)) {
                Some(last) => *last = commit,
                None => batch.push(commit),
            }
        }
        let start = Instant::now();
        for Commit { handle, path, n_finished } in batch {
            sync_data(&handle).map_err(QuantizeError::output(&path))?;
            journal.finished(tensors[n_told..n_finished].iter().map(String::as_str))?;
            n_told = n_finished;
        }
        not_before = Instant::now() + 3 * start.elapsed();
    }
    Ok(())
}
