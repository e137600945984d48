//! Input from stdin.

use std::fs::File;
use std::io;

/// Stdin, in a file without a name that can be read more than once.
///
/// # Errors
/// If stdin cannot be read, or there is no room for it.
pub fn copy_of_stdin() -> io::Result<File> {
    let mut copy = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut copy)?;
    Ok(copy)
}
