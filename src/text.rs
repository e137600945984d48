//! Text for messages: whatever a file, a name or an error says stays on one line and cannot steer the
//! terminal.

use std::fmt::Display;

/// `text` with its control characters escaped, as Rust writes them: a line break becomes `\n`.
///
/// For what comes from outside (names of files and tensors, values of metadata): it can be anyone's,
/// and must neither break a message's one line nor steer the terminal.
///
/// ```
/// assert_eq!(gatefold::text::printable("a\n\u{1b}[2J"), r"a\n\u{1b}[2J");
/// ```
pub fn printable(text: impl Display) -> String {
    let mut printable = String::new();
    for c in text.to_string().chars() {
        match c.is_control() {
            true => printable.extend(c.escape_debug()),
            false => printable.push(c),
        }
    }
    printable
}

/// The lines of an error's message joined with `; ` into a single one, without blank lines.
///
/// For errors as a whole, such as those of chat templates, which have several lines. Control
/// characters that the message quotes are replaced by U+FFFD.
///
/// ```
/// assert_eq!(gatefold::text::one_line("two\n  lines\n"), "two; lines");
/// ```
pub fn one_line(error: impl ToString) -> String {
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("; ").chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// Characters of a file that a message quotes at most.
const QUOTED_CHARS: usize = 80;

/// The first 80 characters of `text`, followed by `...` if there are more: for messages that quote a
/// file.
///
/// ```
/// assert_eq!(gatefold::text::shortened(&"a".repeat(99)), "a".repeat(80) + "...");
/// ```
pub fn shortened(text: &str) -> String {
    let mut shortened: String = text.chars().take(QUOTED_CHARS).collect();
    if shortened.len() < text.len() {
        shortened.push_str("...");
    }
    shortened
}

/// `bytes` as lower-case hexadecimal digits, two per byte: how digests are written.
///
/// ```
/// assert_eq!(gatefold::text::hex([0x0f, 0xa0]), "0fa0");
/// ```
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An amount of bytes to read at a glance: `26.4 GB`, `960 B`.
pub fn bytes(n_bytes: u64) -> String {
    format!("{}B", si(n_bytes))
}

/// A number to read at a glance: `26.4 G`, `960`.
pub fn decimal(n: u64) -> String {
    si(n).trim_end().to_string()
}

/// A number with its decimal prefix: `26.4 G`, `960 `.
fn si(n: u64) -> String {
    let prefixes = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let prefix = prefixes.into_iter().find(|(factor, _)| n as f64 >= *factor);
    prefix.map_or(format!("{n} "), |(factor, name)| format!("{:.1} {name}", n as f64 / factor))
}

/// A number of things: `1 document`, `2 documents`.
///
/// ```
/// # use gatefold::text::count;
/// assert_eq!(count(1, "document"), "1 document");
/// assert_eq!([count(0, "request"), count(2, "request")], ["0 requests", "2 requests"]);
/// ```
pub fn count(n: usize, unit: &str) -> String {
    format!("{n} {unit}{}", if n == 1 { "" } else { "s" })
}
