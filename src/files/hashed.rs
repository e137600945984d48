//! Files that end with a hash of what they say.

use sha2::{Digest, Sha256};
use std::io::{self, BufRead, Read, Write};

/// Hashes what passes through.
pub(crate) struct Hashed<T> {
    inner: T,
    hash: Sha256,
}

impl<T> Hashed<T> {
    /// Nothing has passed yet.
    pub fn new(inner: T) -> Hashed<T> {
        Hashed { inner, hash: Sha256::new() }
    }

    /// What lies behind it, and SHA-256 over what has passed.
    pub fn finish(self) -> (T, [u8; 32]) {
        (self.inner, self.hash.finalize().into())
    }
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n_written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n_written]);
        Ok(n_written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let n_read = self.inner.read(bytes)?;
        self.hash.update(&bytes[..n_read]);
        Ok(n_read)
    }
}

impl<T: BufRead> BufRead for Hashed<T> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, n_bytes: usize) {
        // What is consumed was there before, and no system is asked for it.
        let bytes = self.inner.fill_buf().unwrap_or_default();
        self.hash.update(&bytes[..n_bytes.min(bytes.len())]);
        self.inner.consume(n_bytes);
    }
}

/// The next bytes, as many as the array has.
///
/// # Errors
/// If there are fewer, or the system says no.
pub(crate) fn array<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}
