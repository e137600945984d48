//! Hostile input for everything that reads files of unknown origin.
//!
//! A target takes any bytes, makes a file or an argument of them, and gives that to a parser through
//! the public API. The parser may refuse it, in one line; it may not panic, hang or ask for much
//! memory. Where it accepts, the target checks what is cheap to check. Where few bytes would get past
//! a checksum or the frame of a container, the target writes these itself.
//!
//! `fuzz_targets/` gives the targets to libFuzzer. Without it, `tests/seeds.rs` runs them over their
//! seeds and some damaged copies of these.

mod scratch;
pub mod targets;

use std::fmt::Display;

/// A target: its name, what runs it, and small inputs that the parser accepts, or nearly so.
pub struct Target {
    /// Its name, which is that of its module.
    pub name: &'static str,
    /// Runs it over any bytes. Panics if the parser is at fault.
    pub run: fn(&[u8]),
    /// Inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Between the parts of an input that are texts: no text in UTF-8 has this byte.
const END_OF_PART: u8 = 0xFF;

/// The first `N` parts of an input.
fn parts<const N: usize>(bytes: &[u8]) -> [&[u8]; N] {
    let mut parts = bytes.splitn(N, |&byte| byte == END_OF_PART);
    [(); N].map(|()| parts.next().unwrap_or_default())
}

/// An input of these parts.
fn joined<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    let parts: Vec<&[u8]> = parts.iter().map(AsRef::as_ref).collect();
    parts.join(&END_OF_PART)
}

/// Bytes as a text, whatever they are.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What was accepted, if it was. A message is one line, and does not steer a terminal.
fn accepted<T, E: Display>(result: Result<T, E>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error.to_string(),
    };
    assert!(!error.chars().any(char::is_control), "a message of more than text: {error:?}");
    assert!(error.len() < 1 << 18, "a message of {} bytes", error.len());
    None
}
