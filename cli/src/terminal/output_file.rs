//! Files that are written beside their place and put there once they are whole.

use anyhow::{Result, ensure};
use gatefold::files::{Replacement, check_lock_reach, claim};
use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// A file on its way to its place; nothing is left of it where it is dropped. Errors of writing
/// name it.
pub struct OutputFile {
    path: PathBuf,
    partial: BufWriter<Replacement>,
    place: Place,
}

/// What the place of a file may have.
enum Place {
    /// Anything of its kind.
    Any,
    /// This file, which is kept from others.
    Claimed(File),
    /// Nothing.
    Free,
}

impl OutputFile {
    /// Begins a file that `flag` asked for. Files of its kind begin with `magic`: only such a one,
    /// or an empty one, is replaced.
    pub fn create(path: &Path, flag: &str, magic: &[u8]) -> Result<OutputFile> {
        let there = fs::symlink_metadata(path);
        // Renaming would put a file in the place of a device, or of a link to one.
        ensure!(
            there.as_ref().map_or(true, Metadata::is_file),
            "cannot write {}: it exists and is not a file; name one for {flag}",
            path.display()
        );
        if there.is_ok() {
            let mut start = Vec::new();
            File::open(path)?.take(magic.len() as u64).read_to_end(&mut start)?;
            ensure!(
                start.is_empty() || start == magic,
                "cannot write {}: it exists and is another kind of file; remove it, or name another for {flag}",
                path.display()
            );
        }
        let partial = Replacement::part_of(path, magic);
        let partial = BufWriter::new(partial.map_err(|error| cannot_write(path, error))?);
        Ok(OutputFile { path: path.into(), partial, place: Place::Any })
    }

    /// The same for a file that runs go on with: what is to be replaced is claimed to the end, and what
    /// another run makes there meanwhile stays.
    pub fn claim(path: &Path, flag: &str, magic: &[u8]) -> Result<OutputFile> {
        check_lock_reach(path)?;
        let file = OutputFile::create(path, flag, magic)?;
        let place = if path.exists() { Place::Claimed(claim(path)?) } else { Place::Free };
        Ok(OutputFile { place, ..file })
    }

    /// Gives the file its name: one with this name is always whole.
    pub fn put_in_place(self) -> io::Result<()> {
        let OutputFile { path, partial, place } = self;
        let partial =
            partial.into_inner().map_err(|error| cannot_write(&path, error.into_error()))?;
        let put = match place {
            Place::Any => partial.put_in_place(),
            Place::Claimed(old) => partial.put_in_place_of(old),
            Place::Free => partial.put_in_free_place(),
        };
        put.map_err(|error| cannot_write(&path, error))
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.partial.write(bytes).map_err(|error| cannot_write(&self.path, error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.partial.flush().map_err(|error| cannot_write(&self.path, error))
    }
}

fn cannot_write(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot write {}: {error}", path.display()))
}
