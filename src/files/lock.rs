//! Files that one run has for itself.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// Opens the file at `path`, or makes it, for reading and writing, and locks it until it is closed;
/// `None` if another process has it.
///
/// The file is the one that has the name when it is locked, so a run that has it may put another,
/// locked one in its place, or remove it.
///
/// # Errors
/// If the system refuses.
pub fn open_locked(path: &Path) -> io::Result<Option<File>> {
    loop {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(no_locks(&error)),
        }
        // The run that had the lock may have replaced the file since it was opened.
        let ours = file.metadata()?;
        if fs::metadata(path).is_ok_and(|there| is_same_file(&there, &ours)) {
            return Ok(Some(file));
        }
    }
}

/// The error of a file system that gives no locks, as networks' do whose service for them is off.
fn no_locks(error: &io::Error) -> io::Error {
    let message = format!(
        "there are no locks ({error}), without which two runs could write it at once: NFS needs lockd on both ends, Lustre the mount option flock"
    );
    io::Error::new(error.kind(), message)
}

/// Whether two files are one, under whatever names.
#[cfg(unix)]
pub fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Whether two files may be one: where files have no numbers, same sizes and times will do.
#[cfg(not(unix))]
pub fn is_same_file(a: &Metadata, b: &Metadata) -> bool {
    a.len() == b.len() && a.modified().ok() == b.modified().ok()
}
