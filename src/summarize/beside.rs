//! Summaries in files beside their documents.
//!
//! Where a summary is to go there may be a file already. It is replaced only if it is the summary
//! that a line of the results says an earlier run made of this document; one that already says what
//! is to be written stays. Everything else is somebody's, and stays too: the summary is in the
//! results anyway.

use super::error::{Obstacle, SummarizeError};
use super::form::Form;
use super::line::{Line, Summary};
use super::output::with_end;
use super::plan::Plan;
use crate::documents::{Documents, MADE_BESIDE};
use crate::files::replace;
use crate::jobs::Key;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Bytes by which the time that a summary took may change the length of its line.
const TIME_BYTES: u64 = 32;

/// Writes summaries beside their documents.
pub(super) struct Beside<'a> {
    documents: &'a Documents,
    plan: &'a Plan,
    form: Form,
    /// Files with documents.
    inputs: HashSet<PathBuf>,
    /// What the files hold that earlier runs have written, by document.
    written: HashMap<String, Key>,
    /// Summaries of earlier runs that are not beside their documents.
    missing: Vec<Summary>,
    /// What could not be written.
    pub unwritten: Vec<SummarizeError>,
}

impl<'a> Beside<'a> {
    /// For the documents of a plan, which lie in the files `inputs`, by their true names.
    pub fn new(
        documents: &'a Documents,
        plan: &'a Plan,
        form: Form,
        inputs: HashSet<PathBuf>,
    ) -> Beside<'a> {
        let (written, missing, unwritten) = Default::default();
        Beside { documents, plan, form, inputs, written, missing, unwritten }
    }

    /// Learns of a summary that an earlier run made; `holds` tells whether it still is the
    /// document's.
    pub fn learn(&mut self, summary: &Summary, holds: bool) {
        let Some(path) = self.path(&summary.id) else { return };
        match self.written(&path, summary) {
            Ok(Some(key)) => {
                self.written.insert(summary.id.clone(), key);
            }
            // Whatever is there, writing will tell.
            _ if holds => self.missing.push(summary.clone()),
            _ => {}
        }
    }

    /// Writes the summaries of earlier runs that are not there.
    pub fn catch_up(&mut self) {
        std::mem::take(&mut self.missing).iter().for_each(|summary| self.write(summary));
    }

    /// Writes a summary beside its document, if that is a file.
    pub fn write(&mut self, summary: &Summary) {
        let Some(path) = self.path(&summary.id) else { return };
        if let Err(obstacle) = self.try_write(&path, summary) {
            let id = summary.id.clone();
            self.unwritten.push(SummarizeError::Beside { id, path, obstacle });
        }
    }

    fn try_write(&self, path: &Path, summary: &Summary) -> Result<(), Obstacle> {
        match fs::symlink_metadata(path) {
            Ok(_) if self.is_input(path) => return Err(Obstacle::Document),
            Ok(there) if !there.is_file() => return Err(Obstacle::Foreign),
            Ok(_) if self.written(path, summary)?.is_some() => return Ok(()),
            Ok(_) => {
                let known = self.written.get(&summary.id).ok_or(Obstacle::Foreign)?;
                if *known != key(&fs::read(path)?) {
                    return Err(Obstacle::Foreign);
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(replace(path, &self.form.write(&Line::Done(summary.clone()), true))?)
    }

    /// What the file at `path` holds, if that is this summary.
    fn written(&self, path: &Path, summary: &Summary) -> io::Result<Option<Key>> {
        let there = fs::symlink_metadata(path)?;
        let wanted = self.form.write(&Line::Done(summary.clone()), true);
        let may_be = there.is_file() && there.len().abs_diff(wanted.len() as u64) <= TIME_BYTES;
        if !may_be || self.is_input(path) {
            return Ok(None);
        }
        let bytes = fs::read(path)?;
        Ok(self.form.has_written(&bytes, summary).then(|| key(&bytes)))
    }

    fn is_input(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|path| self.inputs.contains(&path))
    }

    fn path(&self, id: &str) -> Option<PathBuf> {
        let path = self.documents.file_of(&self.plan.entry(id)?.place)?;
        Some(with_end(path, &format!("{MADE_BESIDE}.{}", self.form.extension())))
    }
}

fn key(bytes: &[u8]) -> Key {
    Key::of(&[("bytes", bytes)])
}
