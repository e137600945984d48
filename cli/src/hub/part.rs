//! As much of a file as has come, with the hash of it.

use super::cache::{cannot_write, incomplete};
use super::meter::Meter;
use anyhow::{Context, Result};
use gatefold::files::sync_folder;
use gatefold::text::hex;
use sha2::{Digest, Sha256};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The beginning of a file that is being fetched. Who has one has the lock of the file.
pub struct Part {
    place: PathBuf,
    path: PathBuf,
    file: File,
    lock: File,
    hash: Sha256,
    /// How much of it is here.
    pub n_bytes: u64,
    /// Whether all of it came in one answer, and nothing was here before.
    pub is_of_one_answer: bool,
    /// The server's mark of this version of the file: its entity tag.
    pub version: Option<String>,
    /// How long the whole is, as the server says.
    pub n_all: Option<u64>,
    /// SHA-256 of the whole, where the server says.
    pub sha256_of_all: Option<String>,
}

/// Entity tags are kept up to this length.
const MOST_VERSION_BYTES: u64 = 512;

/// The mark in the lock of a file that this program is fetching and that has no version.
const NO_VERSION: &str = "gatefold";

/// Bytes that are read at a time.
const CHUNK: usize = 1 << 18;

impl Part {
    /// What there is of the file that is to be at `place`, which is read and hashed; the lock knows
    /// which version of the file it is of.
    pub fn open(place: &Path, mut lock: File, meter: &mut Meter) -> Result<Part> {
        let path = incomplete(place);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.with_context(|| cannot_write(&path))?;
        let mut version = String::new();
        // What another program left in its lock is no version.
        let read = lock
            .rewind()
            .and_then(|()| (&lock).take(MOST_VERSION_BYTES).read_to_string(&mut version));
        let version = Some(version).filter(|version| read.is_ok() && is_strong(version));
        mark(&mut lock, version.as_deref()).with_context(|| cannot_write(&path))?;
        let mut part = Part {
            place: place.into(),
            path,
            file,
            lock,
            hash: Sha256::new(),
            n_bytes: 0,
            is_of_one_answer: false,
            version,
            n_all: None,
            sha256_of_all: None,
        };
        let mut buffer = vec![0; CHUNK];
        loop {
            let n_read =
                part.file.read(&mut buffer).with_context(|| part.path.display().to_string())?;
            if n_read == 0 {
                break;
            }
            part.hash.update(&buffer[..n_read]);
            part.n_bytes += n_read as u64;
            meter.at(part.n_bytes);
        }
        Ok(part)
    }

    /// Begins again with nothing.
    pub fn restart(&mut self) -> Result<()> {
        let emptied = self.file.set_len(0).and_then(|()| self.file.rewind());
        emptied.with_context(|| cannot_write(&self.path))?;
        (self.hash, self.n_bytes) = (Sha256::new(), 0);
        (self.n_all, self.sha256_of_all) = (None, None);
        self.set_version(None)
    }

    /// Remembers which version of the file this is the beginning of.
    pub fn set_version(&mut self, version: Option<&str>) -> Result<()> {
        let version = version.filter(|version| is_strong(version));
        if self.version.as_deref() == version {
            return Ok(());
        }
        self.version = version.map(str::to_owned);
        mark(&mut self.lock, version).with_context(|| cannot_write(&self.path))
    }

    /// Takes what comes, and says how much there is after each bit.
    ///
    /// # Errors
    /// The outer one is the disk's, the inner one the sender's; what came before stays.
    pub fn take(&mut self, mut body: impl Read, meter: &mut Meter) -> Result<io::Result<()>> {
        self.is_of_one_answer = self.n_bytes == 0;
        let mut buffer = vec![0; CHUNK];
        loop {
            let n_read = match body.read(&mut buffer) {
                Ok(0) => return Ok(Ok(())),
                Ok(n_read) => n_read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Err(error)),
            };
            self.file.write_all(&buffer[..n_read]).with_context(|| {
                format!(
                    "{}; what is there is kept, and the same command goes on with it",
                    cannot_write(&self.path)
                )
            })?;
            self.hash.update(&buffer[..n_read]);
            self.n_bytes += n_read as u64;
            meter.at(self.n_bytes);
        }
    }

    /// SHA-256 of what is here.
    pub fn sha256(&self) -> String {
        hex(self.hash.clone().finalize())
    }

    /// The first bytes, as many as there are of these.
    pub fn start(&mut self) -> io::Result<[u8; 4]> {
        let mut start = [0; 4];
        self.file.rewind()?;
        self.file.read_exact(&mut start)?;
        Ok(start)
    }

    /// Gives the file its name, once all of it is on the disk.
    pub fn put_in_place(self) -> Result<()> {
        let Part { place, path, file, lock, .. } = self;
        let synced = file.sync_all();
        drop(file);
        let named =
            synced.and_then(|()| fs::rename(&path, &place)).and_then(|()| sync_folder(&place));
        named.and_then(|()| lock.set_len(0)).with_context(|| cannot_write(&place))
    }

    /// Leaves nothing of it.
    pub fn discard(self) -> Result<()> {
        let removed = fs::remove_file(&self.path).and_then(|()| self.lock.set_len(0));
        removed.with_context(|| cannot_write(&self.path))
    }
}

/// Marks a lock as that of a file which this program is fetching, in this version.
fn mark(lock: &mut File, version: Option<&str>) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    lock.write_all(version.unwrap_or(NO_VERSION).as_bytes())
}

/// Whether equal tags mean equal bytes.
fn is_strong(version: &str) -> bool {
    let inner = version.strip_prefix('"').and_then(|version| version.strip_suffix('"'));
    inner.is_some_and(|inner| inner.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'))
}

/// SHA-256 of a file.
pub fn sha256_of(path: &Path, meter: &mut Meter) -> io::Result<String> {
    let (mut file, mut hash, mut n_bytes) = (File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        let n_read = file.read(&mut buffer)?;
        if n_read == 0 {
            return Ok(hex(hash.finalize()));
        }
        hash.update(&buffer[..n_read]);
        n_bytes += n_read as u64;
        meter.at(n_bytes);
    }
}
