//! Files for parsers that read files: one folder per process, in which the same few are written anew.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use tempfile::TempDir;

/// Writes a file that the next one of this name replaces. `name` may begin with a folder.
pub(crate) fn file(name: &str, bytes: &[u8]) -> PathBuf {
    // Never dropped, as statics are not: `fuzz/run` removes what is left.
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("there is room for files"));
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().expect("it is in the folder")).expect("a folder can be made");
    fs::write(&path, bytes).expect("there is room for files");
    path
}
