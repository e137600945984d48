//! Names of folders.

use std::path::{Path, PathBuf};

/// The name of a folder; of one in the cache of Hugging Face's hub,
/// `models--OWNER--NAME/snapshots/HASH`, the name of the model.
pub fn name(folder: &Path) -> Option<String> {
    let folder: PathBuf = folder.canonicalize().ok()?;
    let mut names = folder.iter().rev().map(|name| name.to_string_lossy());
    let name = names.next()?;
    if names.next()? == "snapshots" {
        let of_model = names.next()?;
        return Some(of_model.rsplit("--").next()?.to_owned());
    }
    Some(name.into_owned())
}
