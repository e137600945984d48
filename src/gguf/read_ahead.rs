//! Reads a model's files into the page cache in large pieces, while the model already runs.
//!
//! A mapped file comes in page by page, as it is touched, and waits for the disk each time. Here a
//! thread reads what is not in memory yet, in the order of the files, which is that of the layers.
//! It asks the operating system which pieces these are; where it cannot ask, nothing is read.

use super::Gguf;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Bytes that are read at a time, and asked about.
const PIECE_LEN: u64 = 4 << 20;

/// How far apart bytes are that stand for their surroundings when it is asked what is in memory.
const PROBE_DISTANCE: u64 = 512 << 10;

/// A thread that reads ahead, until it has read all or this is dropped.
pub struct ReadAhead {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ReadAhead {
    /// Reads what is not in memory of the first `most_bytes` of the model's files: more than the
    /// memory holds would displace what was read before. `progress` hears, from the thread, of the
    /// bytes read so far and in all. Files that cannot be read are left to those who need them.
    pub fn start(
        gguf: &Gguf,
        most_bytes: u64,
        mut progress: impl FnMut(u64, u64) + Send + 'static,
    ) -> ReadAhead {
        let is_over = Arc::new(AtomicBool::new(false));
        let paths: Vec<PathBuf> = gguf.parts().iter().map(|part| part.path.clone()).collect();
        let must_stop = Arc::clone(&is_over);
        let thread = thread::Builder::new().name("gatefold-read".into()).spawn(move || {
            // What cannot be read here says so where the model needs it.
            let Ok(files) = paths.iter().map(File::open).collect::<io::Result<Vec<File>>>() else {
                return;
            };
            let _ = missing(&files, most_bytes).and_then(|pieces| {
                read(&files, &pieces, |n_read, n_bytes| {
                    progress(n_read, n_bytes);
                    !must_stop.load(Ordering::Relaxed)
                })
            });
        });
        // Without a thread, the file comes in as it is touched.
        ReadAhead { is_over, thread: thread.ok() }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // It ends after a piece at most; if it has panicked, nothing depends on it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A piece of a file.
struct Piece {
    file_idx: usize,
    offset: u64,
    n_bytes: u64,
}

/// Reads pieces, as long as `progress` returns true; it is told the bytes read so far and in all.
fn read(
    files: &[File],
    pieces: &[Piece],
    mut progress: impl FnMut(u64, u64) -> bool,
) -> io::Result<()> {
    let total = pieces.iter().map(|piece| piece.n_bytes).sum();
    let (mut n_read, mut buffer) = (0, Vec::new());
    for &Piece { file_idx, offset, n_bytes } in pieces {
        if !progress(n_read, total) {
            return Ok(());
        }
        let mut file = &files[file_idx];
        file.seek(SeekFrom::Start(offset))?;
        buffer.clear();
        n_read += file.take(n_bytes).read_to_end(&mut buffer)? as u64;
    }
    progress(n_read, total);
    Ok(())
}

/// The pieces of the first `most_bytes` of the files that are not wholly in memory.
fn missing(files: &[File], most_bytes: u64) -> io::Result<Vec<Piece>> {
    let mut missing = Vec::new();
    let mut left = most_bytes;
    for (file_idx, file) in files.iter().enumerate() {
        let file_len = file.metadata()?.len().min(left);
        left -= file_len;
        for offset in (0..file_len).step_by(PIECE_LEN as usize) {
            let end = (offset + PIECE_LEN).min(file_len);
            let mut probes = (offset..end).step_by(PROBE_DISTANCE as usize).chain([end - 1]);
            if !probes.all(|probe| is_in_memory(file, probe)) {
                missing.push(Piece { file_idx, offset, n_bytes: end - offset });
            }
        }
    }
    Ok(missing)
}

/// Whether reading the byte at `offset` would not wait for the disk; true where nobody can say.
#[cfg(target_os = "linux")]
fn is_in_memory(file: &File, offset: u64) -> bool {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    let mut byte = [0];
    let read = preadv2(file, &mut [io::IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT);
    !matches!(read, Err(Errno::AGAIN))
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_file: &File, _offset: u64) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn files() -> Vec<File> {
        let lens = [3 * PIECE_LEN / 2, 1000];
        let files = lens.into_iter().map(|len| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![1; len as usize]).unwrap();
            file
        });
        files.collect()
    }

    #[test]
    fn what_was_just_written_is_in_memory() {
        assert!(missing(&files(), u64::MAX).unwrap().is_empty());
    }

    #[test]
    fn pieces_are_read_until_told_to_stop() {
        let pieces = [(0, 0, PIECE_LEN), (0, PIECE_LEN, PIECE_LEN / 2), (1, 0, 1000)];
        let pieces = pieces.map(|(file_idx, offset, n_bytes)| Piece { file_idx, offset, n_bytes });
        let files = files();
        let heard_of = |n_calls: usize| {
            let mut heard = Vec::new();
            let progress = |n_read, total| {
                heard.push((n_read, total));
                heard.len() < n_calls
            };
            read(&files, &pieces, progress).unwrap();
            heard
        };
        let total = 3 * PIECE_LEN / 2 + 1000;
        let all = [0, PIECE_LEN, 3 * PIECE_LEN / 2, total].map(|n_read| (n_read, total));
        assert_eq!(heard_of(usize::MAX), all);
        assert_eq!(heard_of(2), all[..2]);
    }
}
