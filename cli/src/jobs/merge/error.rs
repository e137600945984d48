//! Why results cannot be put together.

use crate::jobs::JobsError;
use gatefold::text::{count, printable};
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Rows or shards that an error names.
pub(super) const MOST_NAMED: usize = 5;

/// Why results cannot be put together.
#[derive(Debug, Error)]
pub enum MergeError {
    /// There is nothing to put together.
    #[error("there are no parts; name the results of all shards")]
    NoParts,
    /// A file is none of results.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// A file cannot be read.
    #[error("{} cannot be read: {error}", printable(path.display()))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// What is to be read is no file.
    #[error("{} is {what}; name files with the results of shards", printable(path.display()))]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// The results cannot be written.
    #[error(transparent)]
    Write(io::Error),
    /// The work on a shard has not come to its end.
    #[error(
        "{} does not end with the seal of a shard that is done: it was made without --shard, its run has not come to its end or rows of it failed and are to be tried again, or the file was torn; the command with --shard that wrote it goes on with it",
        printable(path.display())
    )]
    Unfinished {
        /// The file.
        path: PathBuf,
    },
    /// A result has been changed.
    #[error(
        "{}: line {line}, the result of {}, is not what its run has written there: somebody has changed it; delete the line, and the command that wrote it does it again",
        printable(path.display()), printable(name)
    )]
    Edited {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What it is the result of.
        name: String,
    },
    /// Two lines of a file are results of the same.
    #[error(
        "{}: lines {} and {} are both results of {}, and {}; leave one of them there, or give the command again that wrote them",
        printable(path.display()), lines.0, lines.1, printable(name),
        if *is_same { "the same" } else { "they differ" }
    )]
    DoubleLine {
        /// The file.
        path: PathBuf,
        /// The lines.
        lines: (usize, usize),
        /// What they are the results of.
        name: String,
        /// Whether they say the same.
        is_same: bool,
    },
    /// Results are gone from a file.
    #[error(
        "{} lacks {} that its run has written; the command that wrote it does that again",
        printable(path.display()), count(*n_lines, "line")
    )]
    Gone {
        /// The file.
        path: PathBuf,
        /// How many.
        n_lines: usize,
    },
    /// Parts of work that was divided in different ways.
    #[error(
        "{} is shard {} and {} shard {}: the work was divided in different ways; do it again with the same number of shards",
        printable(paths.0.display()), shards.0, printable(paths.1.display()), shards.1
    )]
    OtherCount {
        /// Two files.
        paths: (PathBuf, PathBuf),
        /// What they are.
        shards: (String, String),
    },
    /// Results that depend on different things.
    #[error(
        "{} was made with another {what} than {}; results of both do not belong together",
        printable(paths.1.display()), printable(paths.0.display())
    )]
    OtherConditions {
        /// Two files.
        paths: (PathBuf, PathBuf),
        /// What is different.
        what: String,
    },
    /// Shards of different inputs.
    #[error(
        "{} is a shard of {} rows and {} of {}, or others: the input has changed between the runs; give the commands of all shards again with the input as it is now",
        printable(paths.0.display()), n_rows.0, printable(paths.1.display()), n_rows.1
    )]
    OtherInput {
        /// Two files.
        paths: (PathBuf, PathBuf),
        /// Rows of their inputs.
        n_rows: (u64, u64),
    },
    /// A shard is there twice.
    #[error(
        "{} and {} are both shard {shard}, and {}; name one of them",
        printable(paths.0.display()), printable(paths.1.display()), describe_differing(differing)
    )]
    DoubleShard {
        /// Two files.
        paths: (PathBuf, PathBuf),
        /// What both are.
        shard: String,
        /// The rows that are not the same in both.
        differing: Vec<String>,
    },
    /// Shards are missing.
    #[error(
        "of {n_shards} shards {n_missing} {} missing: {}; name {} too, or do what is missing with --shard {}",
        if *n_missing == 1 { "is" } else { "are" }, missing.join(", "),
        if *n_missing == 1 { "its results" } else { "their results" }, missing.first().map_or("I/N", String::as_str)
    )]
    Missing {
        /// How many there should be.
        n_shards: u64,
        /// How many are missing.
        n_missing: u64,
        /// The first of these.
        missing: Vec<String>,
    },
    /// The shards do not make up the whole.
    #[error(
        "the shards have {n_found} of {n_all} rows; do the work again with the input as it is now"
    )]
    MissingRows {
        /// Rows in all shards.
        n_found: u64,
        /// Rows of the input.
        n_all: u64,
    },
}

fn describe_differing(names: &[String]) -> String {
    if names.is_empty() {
        return "the same but for times".into();
    }
    let named: Vec<String> =
        names.iter().take(MOST_NAMED).map(|name| printable(name).to_string()).collect();
    let more = if names.len() > MOST_NAMED { ", ..." } else { "" };
    format!("differ in the results of {} ({}{more})", count(names.len(), "row"), named.join(", "))
}
