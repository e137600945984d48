//! Reads a model's files into the page cache in large pieces, while the model already runs.
//!
//! A mapped file comes in page by page, as it is touched, and waits for the disk each time. Here a
//! thread reads what is not in memory yet, in the order of the files, which is that of the layers.
//! It asks the operating system which pieces these are; where it cannot ask, nothing is read.

use super::Gguf;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// Bytes that are read at a time.
const PIECE_LEN: u64 = 4 << 20;

/// A thread that reads ahead, until it has read all or this is dropped.
pub struct ReadAhead {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ReadAhead {
    /// Reads what is not in memory of the first `most_bytes` of the model's files: more than the
    /// memory holds would displace what was read before. `progress` hears, from the thread, how many
    /// bytes are there and of how many. Files that cannot be read are left to those who need them.
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
            let _ = read(&files, most_bytes, |n_read, n_bytes| {
                progress(n_read, n_bytes);
                !must_stop.load(Ordering::Relaxed)
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

/// Reads the first `most_bytes` of the files, as long as `progress` returns true; it is told how many
/// bytes are in memory and of how many.
fn read(
    files: &[File],
    most_bytes: u64,
    mut progress: impl FnMut(u64, u64) -> bool,
) -> io::Result<()> {
    let lens = files.iter().map(|file| Ok(file.metadata()?.len()));
    let lens = lens.collect::<io::Result<Vec<u64>>>()?;
    let total = lens.iter().sum::<u64>().min(most_bytes);
    let (mut n_read, mut buffer) = (0, Vec::new());
    for (mut file, len) in files.iter().zip(lens) {
        let len = len.min(total - n_read);
        for offset in (0..len).step_by(PIECE_LEN as usize) {
            if !progress(n_read, total) {
                return Ok(());
            }
            let piece = offset..(offset + PIECE_LEN).min(len);
            n_read += piece.end - piece.start;
            if !is_in_memory(file, &piece) {
                file.seek(SeekFrom::Start(piece.start))?;
                buffer.clear();
                file.take(piece.end - piece.start).read_to_end(&mut buffer)?;
            }
        }
    }
    progress(n_read, total);
    Ok(())
}

/// Whether a piece is in memory as far as some of its bytes show; true where nobody can say. Asking
/// for a byte that is not there makes Linux read its surroundings, so only what is read next is
/// asked about.
#[cfg(target_os = "linux")]
fn is_in_memory(file: &File, piece: &Range<u64>) -> bool {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    const PROBE_DISTANCE: usize = 512 << 10;
    let mut probes = piece.clone().step_by(PROBE_DISTANCE).chain([piece.end - 1]);
    probes.all(|offset| {
        let mut byte = [0];
        let mut buffers = [io::IoSliceMut::new(&mut byte)];
        let read = preadv2(file, &mut buffers, offset, ReadWriteFlags::NOWAIT);
        !matches!(read, Err(Errno::AGAIN))
    })
}

#[cfg(not(target_os = "linux"))]
fn is_in_memory(_file: &File, _piece: &Range<u64>) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn heard(most_bytes: u64, n_calls: usize) -> Vec<(u64, u64)> {
        let files = [3 * PIECE_LEN / 2, 1000].map(|len| {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![1; len as usize]).unwrap();
            file
        });
        let mut heard = Vec::new();
        let progress = |n_read, total| {
            heard.push((n_read, total));
            heard.len() < n_calls
        };
        read(&files, most_bytes, progress).unwrap();
        heard
    }

    #[test]
    fn progress_goes_through_all_files() {
        let total = 3 * PIECE_LEN / 2 + 1000;
        let all = [0, PIECE_LEN, 3 * PIECE_LEN / 2, total].map(|n_read| (n_read, total));
        assert_eq!(heard(u64::MAX, usize::MAX), all);
        assert_eq!(heard(total, 2), all[..2]);
    }

    #[test]
    fn no_more_is_read_than_allowed() {
        assert_eq!(heard(PIECE_LEN + 5, usize::MAX).last(), Some(&(PIECE_LEN + 5, PIECE_LEN + 5)));
        assert_eq!(heard(0, usize::MAX), [(0, 0)]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn what_was_just_written_is_in_memory() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; PIECE_LEN as usize]).unwrap();
        assert!(is_in_memory(&file, &(0..PIECE_LEN)));
    }
}
