//! What tells a document from all others, whatever it is called.

use gatefold::files::FileId;
use std::path::{Path, PathBuf};

/// A file, under all its names.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// Its path without links.
    Path(PathBuf),
    /// Its number. That goes for files with hard links alone: there are network drives whose numbers
    /// say nothing.
    Number(FileId),
}

impl Identity {
    /// That of the file at a path, if there is one.
    pub fn of(path: &Path) -> Option<Identity> {
        let number = FileId::of_several_names(path).map(Identity::Number);
        number.or_else(|| path.canonicalize().ok().map(Identity::Path))
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
        fs::hard_link(path("a"), path("c")).unwrap();
        assert_eq!(Identity::of(&path("a")), Identity::of(&path("c")));
        assert_ne!(Identity::of(&path("a")), Identity::of(&path("b")));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(path("c"), path("d")).unwrap();
            assert_eq!(Identity::of(&path("a")), Identity::of(&path("d")));
        }
    }
}
