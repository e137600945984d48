//! What people see and press: notes and progress on stderr, answers on stdout, Ctrl-C.

pub mod interrupt;
pub mod output_file;
pub mod progress;

use crate::flags::name_flags;
use gatefold::text::printable;
use std::fmt::Display;
use std::io::{self, Write};

/// Prints a line to stderr, with [flags](name_flags) in place of the library's settings. That nobody
/// reads it any more is no reason to fail.
pub fn print_note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{}", name_flags(line));
}

/// Prints notes on a file, which say what its user should know.
pub fn print_file_notes(notes: impl IntoIterator<Item = impl Display>) {
    notes.into_iter().for_each(|note| print_note(format_args!("note: {}", printable(note))));
}

/// Prints a piece of an answer to stdout, at once.
pub fn print_piece(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
