//! Files in folders: one that is locked belongs to one run, one that is replaced is whole at every
//! moment, one that is `hashed` shows damage, and a name that was given outlasts a power failure.

mod claim;
mod hashed;
mod identity;
mod lock;
mod replacement;
mod sync;

pub use claim::{ClaimError, check_is_file, claim, claim_part, part_of};
pub(crate) use hashed::{Hashed, array};
pub use identity::FileId;
pub use lock::{check_writable, open_locked, put_in_place_of};
pub use replacement::{Replacement, create, replace};
pub use sync::{sync_all, sync_data, sync_folder};

use std::fs::Metadata;
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

/// `path` in a form that has no limit on its length. Rust's own functions need none; Windows' take
/// 259 characters of others.
///
/// # Errors
/// If there is no such folder.
fn of_any_length(path: &Path) -> io::Result<PathBuf> {
    match path.file_name() {
        Some(name) if cfg!(windows) => Ok(folder_of(path).canonicalize()?.join(name)),
        _ => Ok(path.into()),
    }
}

/// What has this metadata and is no file, in words: `a folder`.
pub fn kind_of(there: &Metadata) -> &'static str {
    match () {
        () if there.is_dir() => "a folder",
        () if there.is_symlink() => "a link",
        () => "a device or a pipe",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;

    #[test]
    fn names_may_be_long() {
        let root = tempfile::tempdir().unwrap();
        let mut folder = root.path().to_path_buf();
        (0..6).for_each(|idx| folder.push(idx.to_string().repeat(100)));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        for text in ["old", "new"] {
            replace(&path, text.as_bytes()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let mut part = Replacement::part_of(&path, b"").unwrap();
        part.write_all(b"newer").unwrap();
        part.put_in_place().unwrap();
        drop(open_locked(&path).unwrap().unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "newer");
    }
}
