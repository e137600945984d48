//! Summaries in files beside their documents.
//!
//! Where a summary is to go there may be a file already. It is replaced only if it is the summary
//! that a line of the results says an earlier run made of this document; one that already says what
//! is to be written stays. Everything else is somebody's, and stays too: the summary is in the
//! results anyway.

use super::error::{Obstacle, SummarizeError};
use super::form::Form;
use super::line::{Line, Summary};
use super::plan::Plan;
use crate::documents::{Documents, MADE_BESIDE};
use crate::jobs::Key;
use gatefold::files::{create, folder_of, replace, with_suffix};
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
    /// What the files hold that earlier runs have written, by document.
    known: HashMap<String, Key>,
    /// Summaries of earlier runs that are not beside their documents.
    missing: Vec<Summary>,
    /// What could not be written.
    unwritten: Vec<SummarizeError>,
    /// The documents of these.
    unwritten_ids: HashSet<String>,
}

impl<'a> Beside<'a> {
    /// For the documents of a plan.
    pub fn new(documents: &'a Documents, plan: &'a Plan, form: Form) -> Beside<'a> {
        let (known, missing, unwritten, unwritten_ids) = Default::default();
        Beside { documents, plan, form, known, missing, unwritten, unwritten_ids }
    }

    /// The document whose summary goes to the file at `path`.
    pub fn document_of(&self, path: &Path) -> Option<&'a str> {
        let place =
            |path: &Path| Some(folder_of(path).canonicalize().ok()?.join(path.file_name()?));
        let ids = self.plan.entries.iter().map(|entry| entry.id.as_str());
        let mut ids = ids.filter(|id| {
            self.path(id).is_some_and(|beside| {
                beside.file_name() == path.file_name() && place(&beside) == place(path)
            })
        });
        ids.next()
    }

    /// What could not be written, and the documents of these.
    pub fn into_unwritten(self) -> (Vec<SummarizeError>, HashSet<String>) {
        (self.unwritten, self.unwritten_ids)
    }

    /// Learns of a summary that an earlier run made; `holds` tells whether it still is the
    /// document's.
    pub fn learn(&mut self, summary: &Summary, holds: bool) {
        let Some(path) = self.path(&summary.id) else { return };
        match self.written(&path, summary) {
            Ok(Some(key)) => {
                self.known.insert(summary.id.clone(), key);
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
            self.unwritten_ids.insert(id.clone());
            self.unwritten.push(SummarizeError::Beside { id, path, obstacle });
        }
    }

    fn try_write(&self, path: &Path, summary: &Summary) -> Result<(), Obstacle> {
        let bytes = self.form.write(&Line::Done(summary.clone()), true);
        match fs::symlink_metadata(path) {
            Ok(_) if self.documents.are_in(path) => Err(Obstacle::Document),
            Ok(there) if !there.is_file() => Err(Obstacle::Foreign),
            Ok(_) if self.written(path, summary)?.is_some() => Ok(()),
            Ok(_) => match self.known.get(&summary.id) {
                Some(known) if *known == key(&fs::read(path)?) => Ok(replace(path, &bytes)?),
                _ => Err(Obstacle::Foreign),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Somebody may make a file there meanwhile.
                create(path, &bytes).map_err(|error| match error.kind() {
                    ErrorKind::AlreadyExists => Obstacle::Foreign,
                    _ => error.into(),
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What the file at `path` holds, if that is this summary.
    fn written(&self, path: &Path, summary: &Summary) -> io::Result<Option<Key>> {
        let there = fs::symlink_metadata(path)?;
        let wanted = self.form.write(&Line::Done(summary.clone()), true);
        let may_be = there.is_file() && there.len().abs_diff(wanted.len() as u64) <= TIME_BYTES;
        if !may_be || self.documents.are_in(path) {
            return Ok(None);
        }
        let bytes = fs::read(path)?;
        Ok(self.form.has_written(&bytes, summary).then(|| key(&bytes)))
    }

    fn path(&self, id: &str) -> Option<PathBuf> {
        let path = self.documents.file_of(&self.plan.entry(id)?.place)?;
        Some(with_suffix(path, &format!("{MADE_BESIDE}.{}", self.form.extension())))
    }
}

fn key(bytes: &[u8]) -> Key {
    Key::of(&[("bytes", bytes)])
}
