//! Text for messages and keys.

use sha2::{Digest, Sha256};

/// The hash of what was digested, in hexadecimal digits.
pub fn hex(digest: Sha256) -> String {
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
