//! Files in folders: one that is locked belongs to one run, one that is replaced is whole at every
//! moment, one that is `hashed` shows damage, and a name that was given outlasts a power failure.

mod claim;
mod hashed;
mod identity;
mod lock;
mod reach;
mod replacement;
mod sync;

pub use claim::{ClaimError, check_is_file, claim, claim_part, part_of};
pub(crate) use hashed::{Hashed, array};
pub use identity::FileId;
pub use lock::{check_writable, open_locked, put_in_place_of};
pub use reach::check_lock_reach;
pub use replacement::{Replacement, create, replace};
pub use sync::{sync_all, sync_data, sync_folder};

use std::fs::{self, Metadata};
use std::io;
use std::path::{self, Path, PathBuf};

/// The folder in which `path` lies.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a file lies, or is made, that is opened at `path`: where links lead, also to nothing.
pub fn target_of(path: &Path) -> PathBuf {
    let mut target = path.to_path_buf();
    // More links than systems follow are a circle.
    for _ in 0..40 {
        let Ok(next) = fs::read_link(&target) else { break };
        target = folder_of(&target).join(next);
    }
    target
}

/// `path` with `suffix` behind its name: of `model.gguf` and `.part`, `model.gguf.part`.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// `path` in a form that has no limit on its length. Rust's own functions need none; Windows takes 259
/// characters of others, or more of paths that are verbatim.
///
/// # Errors
/// If the folder in which this process runs is gone.
fn of_any_length(path: &Path) -> io::Result<PathBuf> {
    if !cfg!(windows) {
        return Ok(path.into());
    }
    let path = path::absolute(path)?;
    let text = path.as_os_str().to_string_lossy();
    Ok(match text.strip_prefix(r"\\") {
        // Paths that are no text, which Windows can have, are as long as others allow.
        _ if path.to_str().is_none() => path,
        Some(verbatim) if verbatim.starts_with(['?', '.']) => path,
        Some(share) => format!(r"\\?\UNC\{share}").into(),
        None => format!(r"\\?\{text}").into(),
    })
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

    #[cfg(windows)]
    #[test]
    fn verbatim_paths_lead_where_others_do() {
        let of = |path: &str| of_any_length(Path::new(path)).unwrap().to_str().unwrap().to_owned();
        assert_eq!(of(r"C:\a/b\..\c"), r"\\?\C:\a\c");
        assert_eq!(of(r"\\server\share\a"), r"\\?\UNC\server\share\a");
        assert_eq!(of(r"\\?\C:\a"), r"\\?\C:\a");
        assert!(of("a").ends_with(r"\a") && of("a").starts_with(r"\\?\"));
    }
}
