//! The file of results.

use super::error::JobsError;
use super::key::Key;
use super::lines::{Line, Lines};
use super::seal::{Part, SEAL_START, Seal, SealedLine, line_hash};
use super::shard::Shard;
use gatefold::files::{
    Replacement, check_is_file, check_lock_reach, check_writable, claim, claim_part,
    put_in_place_of, sync_all, sync_data, sync_folder, target_of,
};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::mem;
use std::ops::Range;
use std::path::{self, Path, PathBuf};

/// Bytes of a line: an answer of 100,000 tokens with 20 log probabilities each has fewer.
pub const MOST_LINE_BYTES: usize = 256 << 20;

/// A file of results, a JSON object per line, which only ever grows by whole lines that have
/// reached the disk, until [`Self::retain`] drops what is out of date. It is locked until it is
/// dropped.
#[derive(Debug)]
pub struct Results {
    path: PathBuf,
    beginning: &'static str,
    file: File,
    n_bytes: u64,
    found: HashSet<Key>,
}

/// The whole lines of a file.
pub(super) struct Contents {
    /// Where the results are.
    pub ranges: Vec<Range<u64>>,
    /// The last seal, and how many results come before it.
    pub seal: Option<(Seal, usize)>,
    /// Whether there are lines that a power failure made useless.
    has_holes: bool,
    /// Where the last line ends.
    end: u64,
}

impl Results {
    /// Finds out whether a file can be written that is to be opened later, after work that may take
    /// long. Nothing is changed.
    ///
    /// # Errors
    /// If it cannot, as far as that can be seen without having it.
    pub fn check(path: &Path) -> Result<(), JobsError> {
        if path.exists() {
            check_is_file(path)?;
            return check_writable(path).map_err(JobsError::file(path, "opened for writing"));
        }
        Results::check_place(&target_of(path))
    }

    /// The same for a file that is to be written beside its place and then put there.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check_place(path: &Path) -> Result<(), JobsError> {
        check_is_file(path)?;
        let begun = Replacement::of(path);
        begun.map(drop).map_err(JobsError::file(path, "opened for writing"))
    }

    /// Opens the file of all results or makes it, for this process alone.
    ///
    /// All results begin with `beginning` (`{"id":"batch_req_`) and read as a `T`; a file with a
    /// line that does not is left alone: it is not ours, or was damaged by somebody. Blank lines are
    /// passed over, and a last line that was torn by a crash is cut off. `holds` is asked of each
    /// line, in order, what it is the result of, if it still holds. Those that do not stay: a run
    /// with other settings may be a mistake.
    ///
    /// # Errors
    /// If the file cannot be read or written, has lines that are not results or those of a shard, or
    /// another run has it.
    pub fn open<T: DeserializeOwned>(
        path: &Path,
        beginning: &'static str,
        holds: impl FnMut(T) -> Option<Key>,
    ) -> Result<Results, JobsError> {
        Results::open_shard(path, beginning, None, holds)
    }

    /// The same for the results of a shard, where there is one.
    ///
    /// # Errors
    /// As [`Self::open`]; if the file is another shard's, a line is not what its run has left, or other
    /// machines would not see that the file is locked.
    pub fn open_shard<T: DeserializeOwned>(
        path: &Path,
        beginning: &'static str,
        shard: Option<Shard>,
        mut holds: impl FnMut(T) -> Option<Key>,
    ) -> Result<Results, JobsError> {
        if shard.is_some() {
            check_lock_reach(path)?;
        }
        let file = claim(path)?;
        // A link to the file stays one when the file is replaced. There are drives, on Windows, that
        // cannot tell.
        let whole = fs::canonicalize(path).or_else(|_| path::absolute(path));
        let path = whole.map_err(JobsError::file(path, "found"))?;
        let mut results = Results { path, beginning, file, n_bytes: 0, found: HashSet::new() };
        let (mut found, mut lines) = (HashSet::new(), Vec::new());
        let contents = results.scan(|result, line| {
            lines.extend(shard.map(|_| (line.number, line_hash(line.bytes()))));
            found.extend(holds(result));
        })?;
        if let Some((seal, n_sealed)) = &contents.seal {
            lines.truncate(*n_sealed);
            seal.check(&results.path, shard, &lines)?;
        }
        (results.found, results.n_bytes) = (found, contents.end);
        let failed = JobsError::file(&results.path, "written");
        if results.file.metadata().map_err(&failed)?.len() > contents.end {
            results.file.set_len(contents.end).map_err(&failed)?;
        }
        if contents.has_holes {
            results.rewrite(&contents.ranges)?;
        }
        // The name of a new file has to reach the disk too.
        sync_folder(&results.path).map_err(failed)?;
        Ok(results)
    }

    /// Shows `see` the results in a file, which may be missing, each with its line, and changes nothing.
    ///
    /// # Errors
    /// As [`Self::open`], but that another run may have it.
    pub fn read<T: DeserializeOwned>(
        path: &Path,
        beginning: &'static str,
        mut see: impl FnMut(T, &[u8]),
    ) -> Result<(), JobsError> {
        match File::open(path) {
            Ok(file) => {
                scan(&file, path, beginning, |result, line| see(result, line.bytes())).map(drop)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(JobsError::file(path, "opened")(error)),
        }
    }

    /// Drops the lines without a name, and of several with one name all but the last; returns how
    /// many are left. If any are dropped, the file is written anew: beside, and renamed.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn retain<T: DeserializeOwned>(
        &mut self,
        mut name: impl FnMut(T) -> Option<Key>,
    ) -> Result<usize, JobsError> {
        let mut kept = HashMap::new();
        let contents = self.scan(|result, line| {
            kept.extend(name(result).map(|name| (name, line.range.clone())));
        })?;
        let n_kept = kept.len();
        if n_kept < contents.ranges.len() {
            let mut ranges: Vec<Range<u64>> = kept.into_values().collect();
            ranges.sort_unstable_by_key(|range| range.start);
            self.rewrite(&ranges)?;
            sync_folder(&self.path).map_err(JobsError::file(&self.path, "written"))?;
        }
        Ok(n_kept)
    }

    /// Puts a seal at the end of the results of a shard that is done, in the place of an older one.
    /// `number` is asked of each line for the number of its piece of work.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn seal<T: DeserializeOwned>(
        &mut self,
        part: &Part,
        mut number: impl FnMut(T) -> Option<u64>,
    ) -> Result<(), JobsError> {
        let mut lines = Vec::new();
        let contents = self
            .scan(|result, line| lines.push(SealedLine(number(result), line_hash(line.bytes()))))?;
        let seal = Seal { part: part.clone(), lines };
        match contents.seal {
            Some((there, n_lines)) if there == seal && n_lines == contents.ranges.len() => Ok(()),
            there => {
                if there.is_some() {
                    self.rewrite(&contents.ranges)?;
                    sync_folder(&self.path).map_err(JobsError::file(&self.path, "written"))?;
                }
                self.append(&seal)
            }
        }
    }

    /// Puts a file in the place of this one that has these parts of it alone.
    fn rewrite(&mut self, ranges: &[Range<u64>]) -> Result<(), JobsError> {
        let (beside, mut file) = claim_part(&self.path, self.beginning.as_bytes())?;
        let failed = JobsError::file(&beside, "written");
        self.n_bytes = copy_ranges(&self.file, ranges, &mut file).map_err(&failed)?;
        let permissions =
            self.file.metadata().and_then(|there| file.set_permissions(there.permissions()));
        permissions.map_err(&failed)?;
        let old = mem::replace(&mut self.file, file);
        put_in_place_of(old, &beside, &self.path).map_err(&failed)?;
        Ok(())
    }

    /// Reads the file, and shows `see` each result with its line.
    fn scan<T: DeserializeOwned>(&self, see: impl FnMut(T, &Line)) -> Result<Contents, JobsError> {
        scan(&self.file, &self.path, self.beginning, see)
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
            sync_data(&self.file)
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

impl Seal {
    /// Checks that it is that of this shard, and that the lines before it are those that it was made for.
    fn check(
        &self,
        path: &Path,
        shard: Option<Shard>,
        lines: &[(usize, String)],
    ) -> Result<(), JobsError> {
        let there = self.part.shard;
        if shard != Some(there) {
            return Err(JobsError::OtherShard { path: path.into(), there, wanted: shard });
        }
        let sealed: HashSet<&str> = self.lines.iter().map(|SealedLine(_, hash)| &**hash).collect();
        match lines.iter().find(|(_, hash)| !sealed.contains(&**hash)) {
            Some(&(line, _)) => Err(JobsError::Changed { path: path.into(), line }),
            None => Ok(()),
        }
    }
}

/// Reads a file of results from its beginning, and shows `see` each result with its line.
pub(super) fn scan<T: DeserializeOwned>(
    mut file: &File,
    path: &Path,
    beginning: &str,
    mut see: impl FnMut(T, &Line),
) -> Result<Contents, JobsError> {
    let failed = JobsError::file(path, "read");
    let beginnings = [beginning, SEAL_START].map(str::as_bytes);
    let mut contents = Contents { ranges: Vec::new(), seal: None, has_holes: false, end: 0 };
    file.rewind().map_err(&failed)?;
    for line in Lines::new(BufReader::new(file), MOST_LINE_BYTES) {
        let line = line.map_err(&failed)?;
        let foreign = || JobsError::Foreign { path: path.into(), line: line.number };
        let text = line.text.as_deref().ok_or_else(foreign)?;
        let is_blank = text.trim_ascii().is_empty();
        let [is_result, is_seal] = beginnings.map(|beginning| text.starts_with(beginning));
        let is_ours = is_result || is_seal;
        // Where power failed in the middle of a write, parts of it may be zeros on the disk.
        let is_behind = contents.has_holes || !contents.ranges.is_empty();
        let is_hole = (is_ours || is_behind) && text.contains(&0);
        let result = serde_json::from_slice(text);
        let seal = if is_seal { serde_json::from_slice::<Seal>(text).ok() } else { None };
        // What is JSON without being a result was not torn: it is somebody's.
        let is_json = || serde_json::from_slice::<IgnoredAny>(text).is_ok();
        let is_others = result.is_err() && seal.is_none() && is_json();
        let is_begun = beginnings.iter().any(|beginning| beginning.starts_with(text));
        if !line.is_ended && (is_ours || is_hole || is_blank || is_begun) && !is_others {
            break;
        }
        match (result, seal) {
            (Ok(result), _) if is_result => {
                see(result, &line);
                contents.ranges.push(line.range.clone());
            }
            (_, Some(seal)) => contents.seal = Some((seal, contents.ranges.len())),
            _ if is_hole => contents.has_holes = true,
            // Editors leave such.
            _ if is_blank => {}
            _ => return Err(foreign()),
        }
        contents.end = line.range.end;
    }
    Ok(contents)
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

/// Fills `to`, which is empty, with the given parts of `from`, on the disk, and returns its size.
fn copy_ranges(mut from: &File, ranges: &[Range<u64>], to: &mut File) -> io::Result<u64> {
    let mut n_bytes = 0;
    for range in ranges {
        from.seek(SeekFrom::Start(range.start))?;
        n_bytes += io::copy(&mut from.take(range.end - range.start), to)?;
    }
    sync_all(to)?;
    Ok(n_bytes)
}
