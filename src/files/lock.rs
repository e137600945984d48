//! Files that one run has for itself.

use super::FileId;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens the file at `path`, or makes it, for reading and writing, and locks it until it is closed;
/// `None` if another process has it. Others may read it meanwhile.
///
/// The file is the one that has the name when it is locked, so a run that has it may put another,
/// locked one in its place, or remove it.
///
/// # Errors
/// If the system refuses.
pub fn open_locked(path: &Path) -> io::Result<Option<File>> {
    loop {
        let Some(file) = system::open_alone(path)? else { return Ok(None) };
        // The run that had the lock may have replaced the file since it was opened.
        let ours = FileId::of(&file)?;
        if FileId::at(path).is_ok_and(|there| there == ours) {
            return Ok(Some(file));
        }
    }
}

/// That the file at `path` can be opened for writing, or will be when another process has done with it.
///
/// # Errors
/// If there is none, or the system refuses.
pub fn check_writable(path: &Path) -> io::Result<()> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if !system::says_locked(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Renames `beside`, which this run has open, to `path`. What has the name is `old`, which this run has
/// locked: it is closed.
///
/// # Errors
/// If the system refuses.
pub fn put_in_place_of(old: File, beside: &Path, path: &Path) -> io::Result<()> {
    // Systems that cannot replace what is open need it closed before. Then another run could come in
    // between, which they would not let this one replace, either.
    fs::rename(beside, path).or_else(|_| {
        drop(old);
        fs::rename(beside, path)
    })
}

#[cfg(not(windows))]
mod system {
    use std::fs::{File, OpenOptions, TryLockError};
    use std::io;
    use std::path::Path;

    pub fn open_alone(path: &Path) -> io::Result<Option<File>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(no_locks(&error)),
        }
    }

    /// The error of a file system that gives no locks, as networks' do whose service for them is off.
    fn no_locks(error: &io::Error) -> io::Error {
        let message = format!(
            "there are no locks ({error}), without which two runs could write it at once: NFS needs lockd on both ends, Lustre the mount option flock"
        );
        io::Error::new(error.kind(), message)
    }

    /// Locked files can be opened.
    pub fn says_locked(_error: &io::Error) -> bool {
        false
    }
}

/// A lock of Windows keeps others from reading, too. Who has a file for writing and shares it for
/// reading, renaming and removing alone has it as a lock has it elsewhere.
#[cfg(windows)]
mod system {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::windows::fs::OpenOptionsExt;
    use std::path::Path;

    const FILE_SHARE_READ: u32 = 1;
    const FILE_SHARE_DELETE: u32 = 4;
    const ERROR_SHARING_VIOLATION: i32 = 32;

    pub fn open_alone(path: &Path) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        match options.share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE).open(path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if says_locked(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub fn says_locked(error: &io::Error) -> bool {
        error.raw_os_error() == Some(ERROR_SHARING_VIOLATION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn what_is_locked_is_read_and_replaced_but_not_had_twice() {
        let folder = tempfile::tempdir().unwrap();
        let [path, beside] = ["file", "beside"].map(|name| folder.path().join(name));
        let mut old = open_locked(&path).unwrap().unwrap();
        old.write_all(b"old").unwrap();
        assert!(open_locked(&path).unwrap().is_none());
        check_writable(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let mut new = open_locked(&beside).unwrap().unwrap();
        new.write_all(b"new").unwrap();
        put_in_place_of(old, &beside, &path).unwrap();
        assert!(!beside.exists());
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(open_locked(&path).unwrap().is_none());
        drop(new);
        drop(open_locked(&path).unwrap().unwrap());
        fs::remove_file(&path).unwrap();
    }
}
