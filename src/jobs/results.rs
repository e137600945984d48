//! The file of results.

use super::error::JobsError;
use super::key::Key;
use super::lines::Lines;
use super::lock::open_locked;
use crate::checkpoint::stored::folder_of;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of a line: an answer of 100,000 tokens with 20 log probabilities each has fewer.
const MOST_LINE_BYTES: usize = 256 << 20;

/// A file of results, a JSON object per line, which only ever grows by whole lines that have
/// reached the disk. It is locked until it is dropped.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    file: File,
    n_bytes: u64,
    found: HashSet<Key>,
}

/// What a file had in it when it was opened.
struct Contents {
    /// Where the lines are that hold.
    kept: HashMap<Key, Range<u64>>,
    n_lines: usize,
    /// Where the last whole line ends.
    end: u64,
}

impl Results {
    /// Opens the file or makes it, for this process alone.
    ///
    /// All results begin with `beginning` (`{"id":"batch_req_`) and read as a `T`; a file with a
    /// line that does not is not ours and left alone. A last line that was torn by a crash is cut
    /// off. `keep` is asked of each line, in order, whether it still holds, and for the key of what
    /// it is the result of; of several with one key the last holds. If one does not hold, the file
    /// is written anew without it: beside, and renamed.
    ///
    /// # Errors
    /// If the file cannot be read or written, has lines that are not results, or another run has it.
    pub fn open<T: DeserializeOwned>(
        path: &Path,
        beginning: &str,
        keep: impl FnMut(T) -> Option<Key>,
    ) -> Result<Results, JobsError> {
        check_kind(path)?;
        let file = open_locked(path).map_err(JobsError::file(path, "opened for writing"))?;
        let file = file.ok_or_else(|| JobsError::Locked { path: path.into() })?;
        // A link to the file stays one when the file is replaced.
        let path = fs::canonicalize(path).map_err(JobsError::file(path, "found"))?;
        let contents = scan(&path, &file, beginning.as_bytes(), keep)?;
        let Contents { kept, n_lines, end } = contents;
        let found = kept.keys().cloned().collect();
        let failed = JobsError::file(&path, "written");
        let mut results = Results { path, file, n_bytes: end, found };
        if results.file.metadata().map_err(&failed)?.len() > end {
            results.file.set_len(end).map_err(&failed)?;
        }
        if n_lines > kept.len() {
            results.rewrite(beginning.as_bytes(), kept.into_values().collect())?;
        }
        // The name of a new file has to reach the disk too.
        sync_folder(&results.path).map_err(failed)?;
        Ok(results)
    }

    /// Puts a file in the place of this one that has these parts of it alone.
    fn rewrite(&mut self, beginning: &[u8], mut ranges: Vec<Range<u64>>) -> Result<(), JobsError> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        let in_the_way = || JobsError::InTheWay { path: beside.clone() };
        let failed = JobsError::file(&beside, "written");
        check_kind(&beside).map_err(|_| in_the_way())?;
        let mut file = open_locked(&beside).map_err(&failed)?.ok_or_else(in_the_way)?;
        let mut start = Vec::new();
        (&file).take(beginning.len() as u64).read_to_end(&mut start).map_err(&failed)?;
        // What a run leaves that is killed here.
        if !beginning.starts_with(&start) {
            return Err(in_the_way());
        }
        ranges.sort_unstable_by_key(|range| range.start);
        self.n_bytes = copy_ranges(&self.file, &ranges, &mut file).map_err(&failed)?;
        let permissions =
            self.file.metadata().and_then(|there| file.set_permissions(there.permissions()));
        permissions.and_then(|()| fs::rename(&beside, &self.path)).map_err(&failed)?;
        self.file = file;
        Ok(())
    }

    /// Whether the result of this was there when the file was opened.
    pub fn has(&self, key: &Key) -> bool {
        self.found.contains(key)
    }

    /// Appends a result and waits until the disk has it. After an error the file is as it was.
    ///
    /// # Errors
    /// If the disk is full, say.
    pub fn append(&mut self, result: &impl Serialize) -> Result<(), JobsError> {
        self.append_all(std::slice::from_ref(result))
    }

    /// Appends results and waits until the disk has them all, for which it is waited once. After an
    /// error the file is as it was.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_all(&mut self, results: &[impl Serialize]) -> Result<(), JobsError> {
        let text = lines(results);
        let write = || {
            (&self.file).seek(SeekFrom::Start(self.n_bytes))?;
            (&self.file).write_all(&text)?;
            self.file.sync_data()
        };
        if let Err(error) = write() {
            // If not even this is possible, the next run cuts off what was begun.
            let _ = self.file.set_len(self.n_bytes);
            return Err(JobsError::Append { path: self.path.clone(), error });
        }
        self.n_bytes += text.len() as u64;
        Ok(())
    }
}

/// The results as JSON, a line each.
pub(super) fn lines(results: &[impl Serialize]) -> Vec<u8> {
    let mut text = Vec::new();
    for result in results {
        // What is serialized are our own structures, whose keys are strings.
        serde_json::to_writer(&mut text, result).expect("results are JSON");
        text.push(b'\n');
    }
    text
}

/// Checks that what is at `path`, if anything is, is a file.
fn check_kind(path: &Path) -> Result<(), JobsError> {
    let what = match fs::metadata(path) {
        Ok(there) if there.is_dir() => "a folder",
        Ok(there) if !there.is_file() => "a device or a pipe",
        _ => return Ok(()),
    };
    Err(JobsError::NotAFile { path: path.into(), what })
}

/// Finds the lines that hold.
fn scan<T: DeserializeOwned>(
    path: &Path,
    file: &File,
    beginning: &[u8],
    mut keep: impl FnMut(T) -> Option<Key>,
) -> Result<Contents, JobsError> {
    let mut contents = Contents { kept: HashMap::new(), n_lines: 0, end: 0 };
    for line in Lines::new(BufReader::new(file), MOST_LINE_BYTES) {
        let line = line.map_err(JobsError::file(path, "read"))?;
        let text = line.text.unwrap_or_default();
        let is_ours = text.starts_with(beginning);
        // Where power failed in the middle of a write, parts of it may be zeros on the disk.
        let is_hole = (is_ours || contents.n_lines > 0) && text.contains(&0);
        if !line.is_ended && (is_ours || is_hole || beginning.starts_with(&text)) {
            break;
        }
        let key = match serde_json::from_slice(&text) {
            Ok(result) if is_ours => keep(result),
            _ if is_hole => None,
            _ => return Err(JobsError::Foreign { path: path.into(), line: line.number }),
        };
        contents.end = line.range.end;
        contents.n_lines += 1;
        if let Some(key) = key {
            contents.kept.insert(key, line.range);
        }
    }
    Ok(contents)
}

/// Makes `to` the given parts of `from`, on the disk, and returns its size.
fn copy_ranges(mut from: &File, ranges: &[Range<u64>], to: &mut File) -> io::Result<u64> {
    to.set_len(0)?;
    to.rewind()?;
    let mut n_bytes = 0;
    for range in ranges {
        from.seek(SeekFrom::Start(range.start))?;
        n_bytes += io::copy(&mut from.take(range.end - range.start), to)?;
    }
    to.sync_all()?;
    Ok(n_bytes)
}

/// Puts the names in the folder of `path` on the disk. Where folders cannot be opened, the system
/// takes care of that itself.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => File::open(folder_of(path))?.sync_all(),
        false => Ok(()),
    }
}
