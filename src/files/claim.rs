//! Files that a run has for itself, and the file `PATH.part` in which it writes what is to be `PATH`.

use super::{kind_of, open_locked, with_suffix};
use crate::text::printable;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a run cannot have a file for itself.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClaimError {
    /// The path is that of something that cannot be written over: a folder, a link, a device.
    #[error("{} is {what}; name a file to write", printable(path.display()))]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// Another run has the file locked.
    #[error(
        "{} is being written by another run; let it finish, or name another file",
        printable(path.display())
    )]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Other machines that have the file's folder too would not see that it is locked.
    #[error(
        "{} lies on {how}, where locks hold on this machine alone: another could write the file at the same time; mount it so that they hold everywhere, or write to a disk of this machine",
        printable(path.display())
    )]
    LocalLocks {
        /// The file.
        path: PathBuf,
        /// The kind of file system, and with what it is mounted.
        how: String,
    },
    /// Something has the name of an unfinished file, and no earlier run left it there.
    #[error("{} is in the way: {why}", printable(path.display()))]
    InTheWay {
        /// The unfinished file.
        path: PathBuf,
        /// What is wrong with what is there, and what to do.
        why: &'static str,
    },
    /// The system does not let the file be opened.
    #[error("{} cannot be opened for writing: {error}; see to that, or name another file", printable(path.display()))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

impl ClaimError {
    /// The error of an unfinished file at `path` that no earlier run can have left.
    pub fn foreign(path: &Path) -> ClaimError {
        let why = "the name is that of an unfinished file, and nothing tells that an earlier run made this one; move it away or delete it";
        ClaimError::InTheWay { path: path.into(), why }
    }
}

impl From<ClaimError> for io::Error {
    fn from(error: ClaimError) -> io::Error {
        match error {
            ClaimError::Open { error, .. } => error,
            error => io::Error::new(ErrorKind::AlreadyExists, error.to_string()),
        }
    }
}

/// Checks that what `path` leads to, if anything, is a file.
///
/// # Errors
/// If it is something else.
pub fn check_is_file(path: &Path) -> Result<(), ClaimError> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => {
            Err(ClaimError::NotAFile { path: path.into(), what: kind_of(&there) })
        }
        _ => Ok(()),
    }
}

/// Opens the file at `path`, or makes it, and locks it until it is closed; what is in it stays.
///
/// # Errors
/// If it is no file, another run has it, or the system refuses.
pub fn claim(path: &Path) -> Result<File, ClaimError> {
    check_is_file(path)?;
    let file = open_locked(path);
    let file = file.map_err(|error| ClaimError::Open { path: path.into(), error })?;
    file.ok_or_else(|| ClaimError::Locked { path: path.into() })
}

/// The name of the file in which a run writes what is to be at `path`: `PATH.part`.
pub fn part_of(path: &Path) -> PathBuf {
    with_suffix(path, ".part")
}

/// Opens `PATH.part` empty, and locks it until it is closed or renamed. One that is there already is
/// what a killed run has left, and is written over, if it begins with `beginning` or ends before.
///
/// # Errors
/// If another run is writing it, it is something else, or the system refuses.
pub fn claim_part(path: &Path, beginning: &[u8]) -> Result<(PathBuf, File), ClaimError> {
    let part = part_of(path);
    // Opening a pipe would wait, and a link is somebody else's.
    if fs::symlink_metadata(&part).is_ok_and(|there| !there.is_file()) {
        return Err(ClaimError::foreign(&part));
    }
    let open = |error| ClaimError::Open { path: part.clone(), error };
    let Some(file) = open_locked(&part).map_err(open)? else {
        let why = "another run is writing it";
        return Err(ClaimError::InTheWay { path: part, why });
    };
    let mut start = Vec::new();
    (&file).take(beginning.len() as u64).read_to_end(&mut start).map_err(open)?;
    if !beginning.starts_with(&start) {
        return Err(ClaimError::foreign(&part));
    }
    file.set_len(0).and_then(|()| (&file).rewind()).map_err(open)?;
    Ok((part, file))
}
