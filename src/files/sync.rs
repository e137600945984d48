//! What is on the disk, and outlasts a power failure.

use super::folder_of;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Puts a file on the disk, with what the system knows of it.
///
/// # Errors
/// If the disk is full or fails.
pub fn sync_all(file: &File) -> io::Result<()> {
    as_far_as_it_goes(file.sync_all(), || system::sync(file))
}

/// Puts the bytes of a file on the disk.
///
/// # Errors
/// As [`sync_all`].
pub fn sync_data(file: &File) -> io::Result<()> {
    as_far_as_it_goes(file.sync_data(), || system::sync(file))
}

/// Puts the names in the folder of `path` on the disk. Where folders cannot be opened, the system
/// takes care of that itself.
///
/// # Errors
/// If the system refuses.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => sync_all(&File::open(folder_of(path))?),
        false => Ok(()),
    }
}

/// On macOS, Rust has disks empty their own caches, too (`F_FULLFSYNC`). Network drives do not do that,
/// and say so; there `less` has to do: that the file is where the network has its files.
fn as_far_as_it_goes(
    synced: io::Result<()>,
    less: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    match synced {
        Err(error) if error.kind() == ErrorKind::Unsupported => less(),
        synced => synced,
    }
}

mod system {
    use std::fs::File;
    use std::io;

    #[cfg(target_os = "macos")]
    pub fn sync(file: &File) -> io::Result<()> {
        Ok(rustix::fs::fsync(file)?)
    }

    #[cfg(not(target_os = "macos"))]
    pub fn sync(_file: &File) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_done_only_where_more_cannot_be() {
        let sync = |kind: ErrorKind, less| as_far_as_it_goes(Err(kind.into()), || less);
        assert!(sync(ErrorKind::Unsupported, Ok(())).is_ok());
        let error = sync(ErrorKind::Unsupported, Err(ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert_eq!(sync(ErrorKind::Other, Ok(())).unwrap_err().kind(), ErrorKind::Other);
        assert!(as_far_as_it_goes(Ok(()), || unreachable!()).is_ok());
    }

    #[test]
    fn files_and_folders_reach_the_disk() {
        let file = tempfile::NamedTempFile::new().unwrap();
        sync_all(file.as_file()).unwrap();
        sync_data(file.as_file()).unwrap();
        sync_folder(file.path()).unwrap();
    }
}
