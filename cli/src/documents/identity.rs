//! What tells a file from all others, whatever it is called.

use std::path::{Path, PathBuf};

/// A file, under all its names.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// Its path without links.
    Path(PathBuf),
    /// Its device, and its number there. That goes for files with hard links alone: there are network
    /// drives whose numbers say nothing.
    #[cfg(unix)]
    Number(u64, u64),
}

impl Identity {
    /// That of the file at a path, if there is one.
    pub fn of(path: &Path) -> Option<Identity> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let there = path.metadata().ok()?;
            if there.is_file() && there.nlink() > 1 {
                return Some(Identity::Number(there.dev(), there.ino()));
            }
        }
        path.canonicalize().ok().map(Identity::Path)
    }

    /// That of the file at a path, or of one that might be there.
    pub fn at(path: &Path) -> Identity {
        Identity::of(path).unwrap_or_else(|| Identity::Path(path.to_path_buf()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_is_the_same_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "text").unwrap();
        fs::write(path("b"), "text").unwrap();
        assert_eq!(Identity::of(&path("a")), Identity::of(&path("./a")));
        assert_ne!(Identity::of(&path("a")), Identity::of(&path("b")));
        assert_eq!(Identity::of(&path("c")), None);
        assert_eq!(Identity::at(&path("c")), Identity::Path(path("c")));
        #[cfg(unix)]
        {
            fs::hard_link(path("a"), path("c")).unwrap();
            std::os::unix::fs::symlink(path("c"), path("d")).unwrap();
            assert_eq!(Identity::of(&path("a")), Identity::of(&path("c")));
            assert_eq!(Identity::of(&path("a")), Identity::of(&path("d")));
            assert_ne!(Identity::of(&path("a")), Identity::of(&path("b")));
        }
    }
}
