//! What tells a file from all others, whatever it is called.

use std::fs::File;
use std::io;
use std::path::Path;

/// A file's number, and that of the volume on which it lies: two files that are there at the same time
/// never have both in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileId {
    volume: u64,
    number: u64,
}

impl FileId {
    /// That of an open file.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn of(file: &File) -> io::Result<FileId> {
        Ok(system::of(file)?.0)
    }

    /// That of what `path` leads to.
    ///
    /// # Errors
    /// If there is nothing, or the system does not tell.
    pub fn at(path: &Path) -> io::Result<FileId> {
        Ok(system::at(path)?.0)
    }

    /// That of the file that `path` leads to, if it has several names (hard links).
    pub fn of_several_names(path: &Path) -> Option<FileId> {
        let (id, n_names) = system::at(path).ok().filter(|_| path.is_file())?;
        (n_names > 1).then_some(id)
    }
}

/// The number of a file, and how many names it has.
type Told = io::Result<(FileId, u64)>;

#[cfg(unix)]
mod system {
    use super::{FileId, Told};
    use std::fs::{self, File, Metadata};
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    pub fn of(file: &File) -> Told {
        Ok(told(&file.metadata()?))
    }

    pub fn at(path: &Path) -> Told {
        Ok(told(&fs::metadata(path)?))
    }

    fn told(there: &Metadata) -> (FileId, u64) {
        (FileId { volume: there.dev(), number: there.ino() }, there.nlink())
    }
}

/// Windows tells them of open files alone.
#[cfg(windows)]
mod system {
    use super::{FileId, Told};
    use std::fs::File;
    use std::path::Path;
    use winapi_util::file::{Information, information};
    use winapi_util::{Handle, HandleRef};

    pub fn of(file: &File) -> Told {
        information(HandleRef::from_file(file)).map(told)
    }

    pub fn at(path: &Path) -> Told {
        information(&Handle::from_path_any(path)?).map(told)
    }

    fn told(there: Information) -> (FileId, u64) {
        let id = FileId { volume: there.volume_serial_number(), number: there.file_index() };
        (id, there.number_of_links())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_keeps_its_number_under_all_its_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        // Nothing but the number tells these apart.
        let files = ["a", "b"].map(|name| File::create(path(name)).unwrap());
        let [a, b] = files.each_ref().map(|file| FileId::of(file).unwrap());
        assert_ne!(a, b);
        assert_eq!(FileId::at(&path("a")).unwrap(), a);
        assert_eq!(FileId::of_several_names(&path("a")), None);
        drop(files);
        fs::rename(path("a"), path("c")).unwrap();
        fs::hard_link(path("c"), path("d")).unwrap();
        assert_eq!(FileId::at(&path("d")).unwrap(), a);
        assert_eq!(FileId::of_several_names(&path("c")), Some(a));
        assert!(FileId::at(&path("a")).is_err());
        assert_eq!(FileId::of_several_names(folder.path()), None);
    }
}
