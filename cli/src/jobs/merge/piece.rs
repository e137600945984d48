//! The results of one shard, as they lie there.

use super::error::MergeError;
use crate::jobs::results::scan;
use crate::jobs::row::{ROW_START, Row, is_same_result};
use crate::jobs::seal::{Part, Seal, SealedLine, line_hash};
use gatefold::files::kind_of;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The results of a shard. The file is open only while it is read: there may be more shards than files
/// that a process may have open.
pub(super) struct Piece {
    pub path: PathBuf,
    pub part: Part,
    pub lines: Vec<Found>,
}

/// A line of a piece, which is what its seal says.
pub(super) struct Found {
    /// That of its piece of work among all.
    pub number: Option<u64>,
    pub name: String,
    pub is_answered: bool,
    pub range: Range<u64>,
    hash: String,
}

/// A line of a file that may be a piece.
struct Seen {
    row: Row,
    line: usize,
    range: Range<u64>,
    hash: String,
}

impl Piece {
    /// Opens the results of a shard, and checks that they are what its run has left.
    pub fn open(path: &Path) -> Result<Piece, MergeError> {
        let failed = |error| MergeError::Read { path: path.into(), error };
        let there = fs::metadata(path).map_err(failed)?;
        if !there.is_file() {
            return Err(MergeError::NotAFile { path: path.into(), what: kind_of(&there) });
        }
        let file = File::open(path).map_err(failed)?;
        let mut rows = Vec::new();
        let contents = scan(&file, path, ROW_START, |row: Row, line| {
            let hash = line_hash(line.bytes());
            rows.push(Seen { row, line: line.number, range: line.range.clone(), hash });
        })?;
        let Some((Seal { part, lines: sealed }, n_sealed)) = contents.seal else {
            return Err(MergeError::Unfinished { path: path.into() });
        };
        let mut left: HashMap<String, Option<u64>> =
            sealed.into_iter().map(|SealedLine(number, hash)| (hash, number)).collect();
        let numbers: Vec<Option<Option<u64>>> =
            rows.iter().map(|seen| left.remove(&seen.hash)).collect();
        let mut piece = Piece { path: path.into(), part, lines: Vec::new() };
        if let Some(idx) = numbers.iter().position(Option::is_none) {
            return Err(piece.strange(&rows, idx, idx >= n_sealed, left.is_empty()));
        }
        if !left.is_empty() {
            return Err(MergeError::Gone { path: path.into(), n_lines: left.len() });
        }
        let found = rows.into_iter().zip(numbers.into_iter().flatten());
        piece.lines.extend(found.map(|(Seen { row, range, hash, .. }, number)| Found {
            number,
            name: row.name().into(),
            is_answered: row.is_answered(),
            range,
            hash,
        }));
        Ok(piece)
    }

    /// What is wrong with a line of which the seal knows nothing. Behind the seal, a run may be on its way
    /// that tries again what had no answer.
    fn strange(&self, rows: &[Seen], idx: usize, is_behind: bool, is_extra: bool) -> MergeError {
        let (path, strange) = (self.path.clone(), &rows[idx]);
        let is_double = |seen: &&Seen| {
            let is_copy = seen.hash == strange.hash;
            let is_again = is_behind && !(seen.row.is_answered() && strange.row.is_answered());
            seen.line != strange.line
                && seen.row.is_of_same(&strange.row)
                && (is_copy || is_extra)
                && !is_again
        };
        let name = strange.row.name().to_owned();
        match rows.iter().find(is_double) {
            Some(other) => {
                let texts = [other, strange].map(|seen| self.read(&seen.range));
                let is_same = matches!(&texts, [Ok(a), Ok(b)] if is_same_result(a, b));
                let (a, b) = (other.line.min(strange.line), other.line.max(strange.line));
                MergeError::DoubleLine { path, lines: (a, b), name, is_same }
            }
            None if is_behind => MergeError::Unfinished { path },
            None => MergeError::Edited { path, line: strange.line, name },
        }
    }

    /// A line as it was found, without its end.
    pub fn line(&self, found: &Found) -> Result<Vec<u8>, MergeError> {
        let text = self.read(&found.range)?;
        if line_hash(&text) != found.hash {
            let error = io::Error::other("it was changed meanwhile");
            return Err(MergeError::Read { path: self.path.clone(), error });
        }
        Ok(text)
    }

    fn read(&self, range: &Range<u64>) -> Result<Vec<u8>, MergeError> {
        let read = || {
            let (mut file, mut text) = (File::open(&self.path)?, Vec::new());
            file.seek(SeekFrom::Start(range.start))?;
            file.take(range.end - range.start).read_to_end(&mut text)?;
            text.pop_if(|byte| *byte == b'\n');
            Ok(text)
        };
        read().map_err(|error| MergeError::Read { path: self.path.clone(), error })
    }
}
