//! What can be wrong with documents.

use super::passed_over::PassedOver;
use super::wanted::{LeftOut, Wanted};
use gatefold::text::printable;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why there are no documents at all.
#[derive(Debug, Error)]
pub enum DocumentsError {
    /// Stdin could not be copied.
    #[error("stdin cannot be copied to a temporary file: {0}; write it to a file, and name that")]
    Stdin(io::Error),
    /// A pattern for names.
    #[error(
        "--glob {pattern:?} is no pattern of names: {problem}; expected is one such as '*.txt'"
    )]
    Glob {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Folders without documents.
    #[error(
        "there are no documents: no file in the folders has a name that {sought}; {passed_over}"
    )]
    NothingFound {
        /// What names were to be like, and how to wish for others.
        sought: String,
        /// What there is.
        passed_over: PassedOver,
    },
    /// Folders in which everything that is wanted is left out.
    #[error(
        "there are no documents: of files in the folders with such names, all are left out ({n_left_out}; {} first, {})",
        printable(first.display()), why.reason()
    )]
    AllLeftOut {
        /// How many.
        n_left_out: usize,
        /// One of them.
        first: PathBuf,
        /// Why it is left out.
        why: LeftOut,
    },
}

impl DocumentsError {
    /// There is nothing in folders of what is wanted but what is left out.
    pub(super) fn nothing_found(
        wanted: &Wanted,
        left_out: Vec<(PathBuf, LeftOut)>,
        passed_over: PassedOver,
    ) -> DocumentsError {
        let wanted_ones = left_out.into_iter().filter(|(_, why)| why.is_wanted());
        let left_out: Vec<(PathBuf, LeftOut)> = wanted_ones.collect();
        let n_left_out = left_out.len();
        if let Some((first, why)) = left_out.into_iter().next() {
            return DocumentsError::AllLeftOut { n_left_out, first, why };
        }
        let sought = if !wanted.globs.is_empty() {
            let globs: Vec<String> = wanted.globs.iter().map(|glob| format!("{glob:?}")).collect();
            let globs = globs.join(" ");
            format!(
                "matches --glob {globs}; a pattern with a slash is for the path from the folder on"
            )
        } else if wanted.is_jsonl {
            "ends in .jsonl or .ndjson; --glob '*.EXT' takes others".into()
        } else {
            "ends as texts' do, in .txt say; --glob '*.EXT' takes others".into()
        };
        DocumentsError::NothingFound { sought, passed_over }
    }
}

/// Why a document cannot be read; whoever reports it says which.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// The system says no.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// A pipe, a device.
    #[error("is neither a file nor a folder; pass its text on stdin, with - for its name")]
    NotAFile,
    /// Nothing but white space.
    #[error("has no text in it")]
    Empty,
    /// Absurdly long.
    #[error("is longer than {} MiB, which is the most for a document; cut it in pieces", super::MOST_BYTES >> 20)]
    TooLong,
    /// Another kind of file.
    #[error("is {0}, not text; convert it to text first")]
    Binary(&'static str),
    /// An encoding that is not of the web.
    #[error("is text in {0}, which is not read; convert it to UTF-8, with iconv for example")]
    Encoding(&'static str),
    /// Headers, and parts that are encoded.
    #[error(
        "is a mail, and mails are not read: their headers and encodings are not what they say; save its text to a file, and name that"
    )]
    Mail,
    /// A line in another encoding, or with damage.
    #[error(
        "is not UTF-8 text: byte {at} does not belong to a character; convert it, with iconv for example"
    )]
    NotUtf8 {
        /// The first such byte, from 0.
        at: usize,
    },
    /// A line that is no JSON object.
    #[error("is not a JSON object: {0}")]
    Json(String),
    /// A field that is not there, or of the wrong type.
    #[error("{found} field {field:?}, which should be {expected}; {flag} names another")]
    Field {
        /// The field.
        field: String,
        /// `has no`, or what it has instead.
        found: &'static str,
        /// What it should be.
        expected: &'static str,
        /// The flag that names the field.
        flag: &'static str,
    },
    /// Two documents of one name.
    #[error(
        "has the id {id:?}, and so has {other}; give each an id of its own, or name another field with --id-field"
    )]
    SameId {
        /// The id.
        id: String,
        /// Where it was before.
        other: String,
    },
}

impl Fault {
    /// What the system said when a document was to be read.
    pub(super) fn unreadable(error: io::Error) -> Fault {
        Fault::Unreadable(error.to_string())
    }
}
