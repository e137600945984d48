//! Reading past the page cache, into memory of our own.
//!
//! A file that is larger than memory and read over and over displaces itself from the page cache: what
//! is dropped is what comes next. Here bytes go from the disk to where they are wanted, and nothing else
//! is displaced. Linux has `O_DIRECT` for it, which asks for whole pages in the file and in memory, and
//! macOS `F_NOCACHE`; where a system or a file system has neither, bytes come through the cache, which is
//! told to forget them, or are left there.

use super::map::Mapped;
use crate::files::FileId;
use memmap2::MmapMut;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::Arc;

/// What offsets, lengths and addresses are multiples of: the largest logical block of a disk.
pub(crate) const PAGE_LEN: usize = 4096;

/// Memory of whole pages, from the system and back to it.
pub(crate) struct Pages(MmapMut);

impl Pages {
    /// At least `n_bytes`, zeros.
    ///
    /// # Errors
    /// If the system has no more.
    pub fn zeroed(n_bytes: usize) -> io::Result<Pages> {
        let pages = MmapMut::map_anon(n_bytes.max(1).next_multiple_of(PAGE_LEN))?;
        // As for files: a system that has no large pages says so.
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        Ok(Pages(pages))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to be written.
    pub fn as_mut_bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// A file that is mapped already, opened once more to be read past the page cache.
pub(crate) struct DirectFile {
    /// The file as it is mapped.
    pub mapped: Arc<Mapped>,
    file: File,
    is_direct: bool,
}

impl DirectFile {
    /// Opens the file, and finds out what its file system can do.
    ///
    /// # Errors
    /// If it cannot be read, or another one has its name by now.
    pub fn open(mapped: &Arc<Mapped>) -> io::Result<DirectFile> {
        let path = &mapped.path;
        let direct = system::open_direct(path).ok().filter(takes_direct_reads);
        let is_direct = direct.is_some();
        let file = direct.map_or_else(|| File::open(path), Ok)?;
        if FileId::of(&file)? != mapped.id || file.metadata()?.len() != mapped.len() as u64 {
            return Err(io::Error::other("another file has its name since it was opened"));
        }
        Ok(DirectFile { mapped: Arc::clone(mapped), file, is_direct })
    }

    /// Fills the first `n_needed` bytes of `out`, whole pages, with what is at `offset`, a multiple of
    /// a page. What lies behind them in `out` is unspecified.
    ///
    /// # Errors
    /// If the file ends before, or the system refuses.
    pub fn read(&self, offset: u64, out: &mut [u8], n_needed: usize) -> io::Result<()> {
        let mut n_read = 0;
        // Where a direct read ends within a page, the file does.
        while n_read < n_needed && (n_read.is_multiple_of(PAGE_LEN) || !self.is_direct) {
            match system::read_at(&self.file, &mut out[n_read..], offset + n_read as u64) {
                Ok(0) => break,
                Ok(n) => n_read += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if n_read < n_needed {
            let end = offset + n_read as u64;
            let message = format!("the file ends at byte {end} now: it was cut short");
            return Err(io::Error::new(ErrorKind::UnexpectedEof, message));
        }
        if !self.is_direct {
            system::forget(&self.file, offset, n_read as u64);
        }
        Ok(())
    }
}

/// Whether direct reads work, which some file systems say only when they are asked to read.
fn takes_direct_reads(file: &File) -> bool {
    let page = Pages::zeroed(PAGE_LEN);
    page.is_ok_and(|mut page| system::read_at(file, page.as_mut_bytes(), 0).is_ok())
}

/// What systems call it.
#[cfg(unix)]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    pub fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
        file.read_at(out, offset)
    }

    #[cfg(target_os = "linux")]
    pub fn open_direct(path: &Path) -> io::Result<File> {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        let flags = OFlags::DIRECT.bits() as i32;
        File::options().read(true).custom_flags(flags).open(path)
    }

    #[cfg(target_os = "macos")]
    pub fn open_direct(path: &Path) -> io::Result<File> {
        let file = File::open(path)?;
        rustix::fs::fcntl_nocache(&file, true)?;
        Ok(file)
    }

    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    pub fn open_direct(_path: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Has the page cache forget what was read; if it does not, nothing but memory that can be had for
    /// the asking is lost.
    #[cfg(target_os = "linux")]
    pub fn forget(file: &File, offset: u64, len: u64) {
        use rustix::fs::{Advice, fadvise};
        let _ = fadvise(file, offset, std::num::NonZeroU64::new(len), Advice::DontNeed);
    }

    #[cfg(not(target_os = "linux"))]
    pub fn forget(_file: &File, _offset: u64, _len: u64) {}
}

/// Windows reads a file one piece after the other without its cache while the file is mapped, so there
/// it is read through the cache.
#[cfg(windows)]
mod system {
    use std::fs::File;
    use std::io;
    use std::os::windows::fs::FileExt;
    use std::path::Path;

    pub fn read_at(file: &File, out: &mut [u8], offset: u64) -> io::Result<usize> {
        file.seek_read(out, offset)
    }

    pub fn open_direct(_path: &Path) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn forget(_file: &File, _offset: u64, _len: u64) {}
}

#[cfg(test)]
mod tests {
    use super::super::Bytes;
    use super::*;
    use std::fs;
    use std::ops::Range;

    fn read(file: &DirectFile, range: Range<usize>) -> io::Result<Vec<u8>> {
        let mut pages = Pages::zeroed(range.len())?;
        file.read(range.start as u64, pages.as_mut_bytes(), range.len())?;
        Ok(pages.as_bytes()[..range.len()].to_vec())
    }

    #[test]
    fn bytes_are_those_of_the_file_up_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes");
        let content: Vec<u8> = (0..3 * PAGE_LEN + 100).map(|idx| (idx / 7) as u8).collect();
        fs::write(&path, &content).unwrap();
        let bytes = Bytes::map(&path).unwrap();
        let mut file = DirectFile::open(bytes.in_file().unwrap().0).unwrap();
        for is_direct in [file.is_direct, false] {
            if !is_direct {
                file.file = File::open(&path).unwrap();
            }
            file.is_direct = is_direct;
            for range in [0..10, 0..PAGE_LEN, PAGE_LEN..content.len(), 3 * PAGE_LEN..content.len()]
            {
                assert_eq!(read(&file, range.clone()).unwrap(), content[range]);
            }
            let error = read(&file, 2 * PAGE_LEN..content.len() + 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
            assert!(error.to_string().contains("ends at byte 12388 now"), "{error}");
        }
    }

    #[test]
    fn another_file_of_the_name_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("bytes"), folder.path().join("other"));
        fs::write(&path, [1; 100]).unwrap();
        let bytes = Bytes::map(&path).unwrap();
        fs::write(&other, [2; 100]).unwrap();
        fs::rename(&other, &path).unwrap();
        let error = DirectFile::open(bytes.in_file().unwrap().0).err().unwrap();
        assert!(error.to_string().contains("another file"), "{error}");
    }
}
