//! Files that are written beside their place.

use super::{claim_part, folder_of, of_any_length, sync_all, sync_folder};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, Write};
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::{NamedTempFile, TempPath};

/// A file on its way to its place, which it takes once it is whole; nothing is left of it where it
/// is dropped.
#[derive(Debug)]
pub struct Replacement {
    path: PathBuf,
    beside: NamedTempFile,
}

impl Replacement {
    /// Begins a file beside `path`.
    ///
    /// # Errors
    /// If none can be made there.
    pub fn of(path: &Path) -> io::Result<Replacement> {
        let builder = &mut tempfile::Builder::new();
        // Temporary files are their owner's alone; this one is to be like any that a program writes.
        #[cfg(unix)]
        builder.permissions(PermissionsExt::from_mode(0o666));
        let path = of_any_length(path)?;
        Ok(Replacement { beside: builder.tempfile_in(folder_of(&path))?, path })
    }

    /// Begins the file `PATH.part`. One with this name is what a killed run has left, and is written
    /// over, if it begins with `magic` or ends before: so large files do not gather in the folder.
    ///
    /// # Errors
    /// If none can be made there, another run is writing it, or it is something else.
    pub fn part_of(path: &Path, magic: &[u8]) -> io::Result<Replacement> {
        let path = of_any_length(path)?;
        let (part, file) = claim_part(&path, magic)?;
        let beside = NamedTempFile::from_parts(file, TempPath::try_from_path(part)?);
        Ok(Replacement { path, beside })
    }

    /// Gives the file its name, in place of one that has it, once all of it is on the disk.
    ///
    /// # Errors
    /// If the disk is full, say; what had the name has it then.
    pub fn put_in_place(self) -> io::Result<()> {
        sync_all(self.beside.as_file())?;
        self.beside.persist(&self.path)?;
        sync_folder(&self.path)
    }

    /// The same in place of `old`, which this run has locked, and which is closed.
    ///
    /// # Errors
    /// As [`Self::put_in_place`].
    pub fn put_in_place_of(self, old: File) -> io::Result<()> {
        sync_all(self.beside.as_file())?;
        // Systems that cannot replace what is open need it closed before.
        self.beside.persist(&self.path).or_else(|refused| {
            drop(old);
            refused.file.persist(&self.path)
        })?;
        sync_folder(&self.path)
    }

    /// As `of`, for a name that nothing has.
    ///
    /// Some file systems, such as FAT and some networks', can neither rename without replacing nor
    /// give a file a second name. There the file is copied to its name: still over nothing, but a run
    /// that is killed meanwhile leaves the beginning of it there, which is then in the way of the next.
    ///
    /// # Errors
    /// As [`Self::put_in_place`]; of the kind [`ErrorKind::AlreadyExists`] if something has it.
    pub fn put_in_free_place(self) -> io::Result<()> {
        sync_all(self.beside.as_file())?;
        match self.beside.persist_noclobber(&self.path) {
            Ok(_) => {}
            Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => {
                return Err(refused.error);
            }
            Err(refused) => copy_to_free_place(refused.file.as_file(), &self.path)?,
        }
        sync_folder(&self.path)
    }
}

/// Makes a copy of a file on the disk, under a name that nothing has; none is left if that fails.
fn copy_to_free_place(mut file: &File, path: &Path) -> io::Result<()> {
    let mut copy = OpenOptions::new().write(true).create_new(true).open(path)?;
    let copied = file.rewind().and_then(|()| io::copy(&mut file, &mut copy));
    copied.and_then(|_| sync_all(&copy)).inspect_err(|_| {
        // The error is told already.
        let _ = fs::remove_file(path);
    })
}

impl Write for Replacement {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.beside.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.beside.flush()
    }
}

/// Puts a file with these bytes in the place of the one at `path`, if there is one.
///
/// # Errors
/// As [`Replacement::put_in_place`].
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = Replacement::of(path)?;
    file.write_all(bytes)?;
    file.put_in_place()
}

/// Makes a file with these bytes at `path`, where there must be none.
///
/// # Errors
/// As [`Replacement::put_in_free_place`].
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = Replacement::of(path)?;
    file.write_all(bytes)?;
    file.put_in_free_place()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_at_once_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"old").unwrap();
        let mut file = Replacement::of(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(file);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(replace(&folder.path().join("none/file"), b"").is_err());
        fs::create_dir(folder.path().join("folder")).unwrap();
        assert!(replace(&folder.path().join("folder"), b"").is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
    }

    #[test]
    fn what_must_be_new_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        create(&path, b"old").unwrap();
        let error = create(&path, b"new").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    /// A file that has lost its own name can no more be given another than on file systems that do
    /// not do that.
    #[cfg(unix)]
    #[test]
    fn where_a_file_cannot_be_given_a_name_it_is_copied_over_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let nameless = |bytes| {
            let mut file = Replacement::of(&path).unwrap();
            file.write_all(bytes).unwrap();
            fs::remove_file(file.beside.path()).unwrap();
            file
        };
        nameless(b"old").put_in_free_place().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let error = nameless(b"new").put_in_free_place().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_run_left_is_written_over_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let [path, part] = ["file", "file.part"].map(|name| folder.path().join(name));
        for left in ["", "MA", "MAGIC and the beginning of a long text"] {
            fs::write(&part, left).unwrap();
            let mut file = Replacement::part_of(&path, b"MAGIC").unwrap();
            file.write_all(b"MAGIC!").unwrap();
            let second = Replacement::part_of(&path, b"MAGIC").unwrap_err().to_string();
            assert!(second.ends_with("file.part is in the way: another run is writing it"));
            file.put_in_place().unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"MAGIC!");
            assert!(!part.exists());
        }
        drop(Replacement::part_of(&path, b"MAGIC").unwrap());
        assert!(!part.exists());
        fs::write(&part, "MY diary").unwrap();
        assert!(Replacement::part_of(&path, b"MAGIC").is_err());
        assert_eq!(fs::read(&part).unwrap(), b"MY diary");
        fs::remove_file(&part).unwrap();
        fs::create_dir(&part).unwrap();
        assert!(Replacement::part_of(&path, b"MAGIC").is_err());
    }
}
