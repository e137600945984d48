//! Files in folders: one that is locked belongs to one run, one that is replaced is whole at every
//! moment, one that is `hashed` shows damage, and a name that was given outlasts a power failure.

mod claim;
mod hashed;
mod lock;
mod reach;
mod replacement;

pub use claim::{ClaimError, check_is_file, claim, claim_part, part_of};
pub(crate) use hashed::{Hashed, array};
pub use lock::{is_same_file, open_locked};
pub use reach::check_lock_reach;
pub use replacement::{Replacement, create, replace};

use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// The folder in which `path` lies.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// `path` with `suffix` behind its name: of `model.gguf` and `.part`, `model.gguf.part`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// What has this metadata and is no file, in words: `a folder`.
pub fn kind_of(there: &Metadata) -> &'static str {
    match () {
        () if there.is_dir() => "a folder",
        () if there.is_symlink() => "a link",
        () => "a device or a pipe",
    }
}

/// Puts the names in the folder of `path` on the disk. Where folders cannot be opened, the system
/// takes care of that itself.
///
/// # Errors
/// If the system refuses.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => File::open(folder_of(path))?.sync_all(),
        false => Ok(()),
    }
}
