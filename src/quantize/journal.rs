//! The journal of a conversion: what becomes what, and how much of it is on the disk.
//!
//! It is a text file beside the output, with a JSON object per line: first the [`Job`], then a line
//! per finished tensor, in order. A line is written only when what it tells is on the disk, so that
//! it holds after a kill and after a power cut; a line that was torn has no end and does not count.
//!
//! Whoever has the journal locked owns the unfinished files beside it. It is the first file to be
//! made and the last to be removed.

use super::QuantizeError;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::Part;
use crate::files::{ClaimError, open_locked, sync_data};
use crate::gguf::FileLayout;
use crate::text::hex;
use gatefold_quant::QUANTIZERS_REVISION;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Bytes of a journal; a line has a hundred at most, and no model has more tensors than 2^18.
const MOST_BYTES: u64 = 64 << 20;

/// How the first line of a journal begins, by which it is known even where that line is torn.
const BEGINNING: &[u8] = b"{\"input\":\"";

/// What becomes what: a run goes on with the files of another that had the same job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Digest of the input's files (names, sizes, times), of where they hold each tensor, and of the
    /// tensors that are in none.
    pub input: String,
    /// Digest of the headers to be written, of the importance matrix, and of who writes.
    pub plan: String,
    /// Number of files to be written.
    pub n_files: u16,
}

/// A tensor that is on the disk.
#[derive(Serialize, Deserialize)]
struct Finished {
    tensor: String,
}

impl Job {
    /// The job of making files with these layouts from `checkpoint`, by an importance matrix or none.
    pub fn new<'a>(
        checkpoint: &Checkpoint,
        layouts: impl ExactSizeIterator<Item = &'a FileLayout>,
        imatrix: Option<[u8; 32]>,
    ) -> Job {
        let mut input = Sha256::new();
        for file in &checkpoint.files {
            let time = file.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            input.update(format!("{:?} {} {time:?}\n", file.path.file_name(), file.n_bytes));
        }
        for tensor in &checkpoint.tensors {
            input.update(format!("{:?} {:?} {}\n", tensor.name, tensor.shape, tensor.format));
            for part in &tensor.parts {
                let Part { file, offset, format, decoding: _, rows, cols, order } = part;
                let name = file.path.file_name();
                input.update(format!("{name:?} {offset} {format} {rows} {cols} {order:?}\n"));
                input.update(file.in_no_file().unwrap_or_default());
            }
        }
        let mut plan = Sha256::new_with_prefix(format!("{QUANTIZERS_REVISION}\n"));
        let n_files = layouts.len() as u16;
        layouts.for_each(|layout| plan.update(layout.header()));
        imatrix.iter().for_each(|digest| plan.update(digest));
        Job { input: hex(input.finalize()), plan: hex(plan.finalize()), n_files }
    }
}

/// The journal, locked until it is dropped or the process ends.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

/// What an earlier run wrote.
#[derive(Debug, Default)]
pub struct Past {
    /// Its job; `None` where there was no earlier run, or it came to nothing.
    pub job: Option<Job>,
    /// The tensors that it finished.
    pub finished: Vec<String>,
}

impl Journal {
    /// Opens the journal at `path`, or makes it, and locks it for the output at `output`.
    ///
    /// # Errors
    /// If another run has it, or the system refuses.
    pub fn open(path: &Path, output: &Path) -> Result<Journal, QuantizeError> {
        match open_locked(path).map_err(QuantizeError::output(path))? {
            Some(file) => Ok(Journal { path: path.to_path_buf(), file }),
            None => Err(ClaimError::Locked { path: output.to_path_buf() }.into()),
        }
    }

    /// What is written so far; a torn last line is cut off.
    ///
    /// # Errors
    /// If the file is no journal, or cannot be read.
    pub fn read(&mut self) -> Result<Past, QuantizeError> {
        let bytes = self.bytes();
        let bytes = bytes.map_err(QuantizeError::output(&self.path))?;
        let mut past = Past::default();
        let mut valid_bytes = 0;
        for line in
            bytes.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"))
        {
            if past.job.is_none() {
                let Ok(job) = serde_json::from_slice(line) else { break };
                past.job = Some(job);
            } else {
                let Ok(Finished { tensor }) = serde_json::from_slice(line) else { break };
                past.finished.push(tensor);
            }
            valid_bytes += line.len() as u64;
        }
        let is_torn = bytes.starts_with(BEGINNING) && !bytes.contains(&b'\n');
        if past.job.is_none() && !is_torn && !BEGINNING.starts_with(&bytes) {
            return Err(ClaimError::foreign(&self.path).into());
        }
        let cut = self.file.set_len(valid_bytes);
        let cut = cut.and_then(|()| self.file.seek(SeekFrom::Start(valid_bytes)));
        cut.map_err(QuantizeError::output(&self.path))?;
        Ok(past)
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        (&mut self.file).take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Forgets all, and begins with this job.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn begin(&mut self, job: &Job) -> Result<(), QuantizeError> {
        let begin = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        begin.map_err(QuantizeError::output(&self.path))?;
        self.append(std::slice::from_ref(job))?;
        sync_data(&self.file).map_err(QuantizeError::output(&self.path))
    }

    /// Tells that these tensors are on the disk. That this is told need not be there itself: a line
    /// that a power cut takes only makes its tensor be written again.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn finished<'a>(
        &mut self,
        tensors: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), QuantizeError> {
        let lines = tensors.into_iter().map(|tensor| Finished { tensor: tensor.into() });
        self.append(&lines.collect::<Vec<_>>())
    }

    fn append(&mut self, lines: &[impl Serialize]) -> Result<(), QuantizeError> {
        let mut append = || {
            let mut text = Vec::new();
            for line in lines {
                serde_json::to_writer(&mut text, line)?;
                text.push(b'\n');
            }
            self.file.write_all(&text)
        };
        append().map_err(QuantizeError::output(&self.path))
    }

    /// Removes it, with everything done.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn remove(self) -> Result<(), QuantizeError> {
        fs::remove_file(&self.path).map_err(QuantizeError::output(&self.path))
    }
}
