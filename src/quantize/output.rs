//! The files being written, and how a run goes on with those of another.
//!
//! Until all is written, `OUTPUT` is called `OUTPUT.part`, and `OUTPUT.part.journal` tells what of
//! it is finished (`Journal`). The order of the steps makes every moment a good one to be killed:
//!
//! 1. the journal is made and locked, then the unfinished files;
//! 2. to start over, unfinished files are removed first, then the journal is emptied: never does
//!    it vouch for a file that another job wrote;
//! 3. a finished tensor is told once it is on the disk;
//! 4. when all tensors are, the files get their names, of a split model the first part last, since
//!    no reader takes a model without it; where that replaces another model, the old first part is
//!    removed before anything is renamed, so that no mixture has one;
//! 5. at last the journal is removed. A journal that tells of all tensors, with files under their
//!    final names beside it, is a run that was killed during 4 or 5.

use super::journal::{Job, Journal, Past};
use super::paths::{
    check_absent, check_folder, check_replaceable, check_space, file_path, journal_path,
    partial_path, sync_folder,
};
use super::{Plan, QuantizeError};
use crate::checkpoint::Checkpoint;
use crate::files::{ClaimError, folder_of};
use crate::gguf::{FileLayout, TensorPlan};
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The files of a conversion, locked for this run.
#[derive(Debug)]
pub struct Output {
    overwrite: bool,
    start: Start,
    /// The files, in the order in which they are written.
    pub(super) files: Vec<FileToWrite>,
    /// Their journal.
    pub(super) journal: Journal,
    /// The names of all tensors, in order.
    pub(super) tensors: Vec<String>,
}

/// A file to be written.
#[derive(Debug)]
pub(super) struct FileToWrite {
    /// What it is called in the end.
    pub path: PathBuf,
    /// What it is called until then.
    pub partial: PathBuf,
    /// What it holds.
    pub layout: FileLayout,
    /// The tensors in it.
    pub tensors: Range<usize>,
    /// Whether it has its final name already, from a run that was killed right after.
    pub is_named: bool,
}

/// Where a conversion starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// From the beginning: there was no earlier run, or it finished no tensor.
    Fresh,
    /// Behind the tensors that an earlier run finished.
    Resumed {
        /// How many those are.
        n_tensors: usize,
        /// How many there are.
        of: usize,
    },
    /// From the beginning, although an earlier run had finished something.
    Over(Change),
}

/// What makes the work of an earlier run useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The files of the input are not the same.
    Input,
    /// What shall be made of them is not the same.
    Plan,
    /// Its unfinished files are not as it left them.
    Files,
}

impl Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::Fresh => f.write_str("starting from the beginning"),
            Start::Resumed { n_tensors, of } => {
                write!(
                    f,
                    "going on where an earlier run stopped: {n_tensors} of {of} tensors are finished"
                )
            }
            Start::Over(change) => {
                let change = match change {
                    Change::Input => "the input has changed",
                    Change::Plan => "what is to be written has changed",
                    Change::Files => "its unfinished file is not as it was left",
                };
                write!(f, "starting over: since an earlier run, {change}")
            }
        }
    }
}

impl Output {
    /// Prepares to write what `plan` makes of `checkpoint` to `path`, or for a plan of several
    /// parts to `NAME-00001-of-0000N.gguf` and so on beside it, and finds out how far an earlier
    /// run came. Only `overwrite` lets it replace finished files.
    ///
    /// # Errors
    /// If the files are there already, are the input, do not fit on the disk or are being written
    /// by another run, and where the folder cannot be written to.
    pub fn open(
        checkpoint: &Checkpoint,
        plan: &Plan,
        path: &Path,
        overwrite: bool,
    ) -> Result<Output, QuantizeError> {
        check_folder(path)?;
        let files = output_files(checkpoint, plan, path)?;
        let journal_path = journal_path(path);
        let finals = files.iter().map(|file| &file.path);
        for path in finals.chain(files.iter().map(|file| &file.partial)).chain([&journal_path]) {
            check_replaceable(checkpoint, path)?;
        }
        let was_begun = journal_path.exists();
        if !was_begun {
            check_absent(files.iter().map(|file| &file.path), overwrite)?;
        }
        let mut journal = Journal::open(&journal_path, path)?;
        let past = journal.read()?;
        let layouts = files.iter().map(|file| &file.layout);
        let job = Job::new(checkpoint, layouts, plan.imatrix);
        let tensors: Vec<_> = checkpoint.tensors.iter().map(|tensor| tensor.name.clone()).collect();
        let start = Start::after(&past, &job, &files, &tensors);
        let mut output = Output { overwrite, start, files, journal, tensors };
        match output.prepare(path, &past, &job) {
            Ok(()) => Ok(output),
            Err(error) if was_begun => Err(error),
            Err(error) => output.journal.remove().and(Err(error)),
        }
    }

    /// Checks what only the owner of the journal can, and takes hold of the files or removes them.
    fn prepare(&mut self, path: &Path, past: &Past, job: &Job) -> Result<(), QuantizeError> {
        let n_finished = self.n_finished();
        for file in &mut self.files {
            file.is_named = n_finished == self.tensors.len() && file.has_its_name();
        }
        let unnamed = Output::unnamed(&self.files);
        check_absent(unnamed.iter().map(|file| &file.path), self.overwrite)?;
        let past_job = past.job.as_ref();
        let past_files = past_job.map_or(0, |job| job.n_files);
        let past_partials: Vec<_> =
            (0..past_files).map(|idx| partial_path(path, idx.into(), past_files.into())).collect();
        let is_foreign = |path: &&PathBuf| path.exists() && !past_partials.contains(path);
        if let Some(path) = unnamed.iter().map(|file| &file.partial).find(is_foreign) {
            return Err(ClaimError::foreign(path).into());
        }
        let planned: u64 = unnamed.iter().map(|file| file.layout.n_bytes()).sum();
        let there = past_partials.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len()));
        check_space(folder_of(path), planned.saturating_sub(there.sum()))?;

        let goes_on = past_job == Some(job) && self.start != Start::Over(Change::Files);
        if !goes_on {
            let stale: Vec<_> = past_partials.iter().filter(|path| path.exists()).collect();
            for path in &stale {
                fs::remove_file(path).map_err(QuantizeError::output(path))?;
            }
            if !stale.is_empty() {
                sync_folder(path)?;
            }
            self.journal.begin(job)?;
            sync_folder(path)?;
        }
        Ok(())
    }

    /// Where the work starts.
    pub fn start(&self) -> Start {
        self.start
    }

    /// Tensors that are finished.
    pub(super) fn n_finished(&self) -> usize {
        match self.start {
            Start::Resumed { n_tensors, .. } => n_tensors,
            Start::Fresh | Start::Over(_) => 0,
        }
    }

    /// The files that do not have their final names.
    pub(super) fn unnamed(files: &[FileToWrite]) -> Vec<&FileToWrite> {
        files.iter().filter(|file| !file.is_named).collect()
    }

    /// Gives the files, all of which are on the disk, their names.
    pub(super) fn finish(self) -> Result<Vec<PathBuf>, QuantizeError> {
        let unnamed = Output::unnamed(&self.files);
        check_absent(unnamed.iter().map(|file| &file.path), self.overwrite)?;
        let Some(first) = self.files.first() else { return Ok(Vec::new()) };
        if self.files.len() > 1 && !first.is_named && first.path.exists() {
            fs::remove_file(&first.path).map_err(QuantizeError::output(&first.path))?;
            sync_folder(&first.path)?;
        }
        for file in unnamed.into_iter().rev() {
            fs::rename(&file.partial, &file.path).map_err(QuantizeError::output(&file.path))?;
            sync_folder(&file.path)?;
        }
        self.journal.remove()?;
        Ok(self.files.into_iter().map(|file| file.path).collect())
    }
}

impl Start {
    /// Where the job starts after what is past.
    fn after(past: &Past, job: &Job, files: &[FileToWrite], tensors: &[String]) -> Start {
        let Past { job: Some(past_job), finished } = past else { return Start::Fresh };
        let (n_tensors, of) = (finished.len(), tensors.len());
        let all_are_there = || files.iter().all(|file| file.is_there(n_tensors, of));
        match () {
            () if finished.is_empty() => Start::Fresh,
            () if past_job.input != job.input => Start::Over(Change::Input),
            () if past_job != job => Start::Over(Change::Plan),
            () if tensors.starts_with(finished) && all_are_there() => {
                Start::Resumed { n_tensors, of }
            }
            () => Start::Over(Change::Files),
        }
    }
}

impl FileToWrite {
    /// How many of its tensors are among the first `n_finished` of all.
    pub fn n_finished(&self, n_finished: usize) -> usize {
        n_finished.clamp(self.tensors.start, self.tensors.end) - self.tensors.start
    }

    /// Whether the file has what it has to have when `n_finished` tensors of `of` are finished.
    fn is_there(&self, n_finished: usize, of: usize) -> bool {
        match (self.n_finished(n_finished), fs::metadata(&self.partial)) {
            (n, Ok(there)) => n == 0 || there.len() >= self.layout.end_of(n),
            (n, Err(_)) => n == 0 && n_finished < of || n_finished == of && self.has_its_name(),
        }
    }

    /// Whether it is found under its final name: the header and the size tell it from another.
    fn has_its_name(&self) -> bool {
        let header = self.layout.header();
        let read = || {
            let mut found = vec![0; header.len()];
            let mut file = File::open(&self.path)?;
            file.read_exact(&mut found)?;
            Ok::<_, io::Error>((found, file.metadata()?.len()))
        };
        let is_whole = |(found, n_bytes)| found == header && n_bytes == self.layout.n_bytes();
        !self.partial.exists() && read().is_ok_and(is_whole)
    }
}

fn output_files(
    checkpoint: &Checkpoint,
    plan: &Plan,
    path: &Path,
) -> Result<Vec<FileToWrite>, QuantizeError> {
    let tensors =
        checkpoint.tensors.iter().zip(&plan.tensors).map(|(tensor, planned)| TensorPlan {
            name: tensor.name.clone(),
            format: planned.format,
            shape: tensor.shape.clone(),
        });
    let tensors: Vec<_> = tensors.collect();
    let n_files = plan.parts.len();
    let layouts = match n_files {
        1 => vec![FileLayout::of_model(&plan.metadata, tensors)?],
        _ => {
            let parts = plan.parts.iter().map(|part| tensors[part.clone()].to_vec());
            FileLayout::of_parts(&plan.metadata, parts.collect())?
        }
    };
    let files = layouts.into_iter().zip(&plan.parts).enumerate().map(|(idx, (layout, tensors))| {
        let (path, partial) = (file_path(path, idx, n_files), partial_path(path, idx, n_files));
        FileToWrite { path, partial, layout, tensors: tensors.clone(), is_named: false }
    });
    Ok(files.collect())
}
