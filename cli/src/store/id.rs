//! Names of files and batches.

use gatefold::text::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt::{self, Display};
use std::hash::{BuildHasher, RandomState};

/// Names a file or a batch: 24 hexadecimal digits behind what it is, half of them a time in
/// milliseconds, so that names have the order in which they were given, and half of them chance.
/// Nothing else is a name, and so none leads out of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Id(String);

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file: `file-`.
    File,
    /// A batch: `batch_`.
    Batch,
}

/// Digits of the time.
const N_TIME: usize = 12;

/// Digits in all.
const N_DIGITS: usize = 24;

impl Kind {
    /// What stands before the digits.
    fn prefix(self) -> &'static str {
        match self {
            Kind::File => "file-",
            Kind::Batch => "batch_",
        }
    }
}

impl Id {
    /// A new name, given at this time.
    pub(super) fn new(kind: Kind, milliseconds: u64) -> Id {
        let chance = RandomState::new().hash_one(()) >> 16;
        Id(format!("{}{milliseconds:012x}{chance:012x}", kind.prefix()))
    }

    /// The name of the file that holds such results of a batch: the same whenever it is asked for.
    pub(super) fn of_results(batch: &Id, what: &str) -> Id {
        let (_, digits) = batch.0.split_once('_').expect("it is a batch's");
        let chance = hex(Sha256::digest(format!("{digits} {what}")));
        Id(format!("{}{}{}", Kind::File.prefix(), &digits[..N_TIME], &chance[..N_TIME]))
    }

    /// The name that a text is, if it is one.
    pub fn parse(kind: Kind, text: &str) -> Option<Id> {
        let digits = text.strip_prefix(kind.prefix())?;
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_name = digits.len() == N_DIGITS && digits.bytes().all(is_digit);
        is_name.then(|| Id(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Id {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Id, &'static str> {
        let kinds = [Kind::File, Kind::Batch].into_iter();
        let id = kinds.filter_map(|kind| Id::parse(kind, &text)).next();
        id.ok_or("a name has 24 hexadecimal digits behind file- or batch_")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_in_which_they_were_given_and_nothing_else_is_one() {
        let ids = [1, 2, 1_000_000_000_000].map(|time| Id::new(Kind::Batch, time));
        assert!(ids.is_sorted());
        for id in &ids {
            assert_eq!(Id::parse(Kind::Batch, id.as_str()).as_ref(), Some(id));
            assert_eq!(Id::parse(Kind::File, id.as_str()), None);
            let results = Id::of_results(id, "output");
            assert_eq!(Id::parse(Kind::File, results.as_str()).as_ref(), Some(&results));
            assert_eq!(Id::of_results(id, "output"), results);
            assert_ne!(Id::of_results(id, "error"), results);
        }
        let digits = "0".repeat(N_DIGITS);
        for text in ["", "file-", "file-..", "file-../../etc/passwd", &digits, "file-é"] {
            assert_eq!(Id::parse(Kind::File, text), None, "{text}");
        }
        for digits in [&digits[1..], "00000000000000000000000A", "0000000000000000000000/0"] {
            assert_eq!(Id::parse(Kind::File, &format!("file-{digits}")), None, "{digits}");
        }
    }
}
