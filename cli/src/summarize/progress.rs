//! How far a run is, and what its summaries leave out.

use super::line::Line;
use super::reduction::Reduction;
use crate::jobs::Tokens;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Documents that have their summary.
    pub n_done: usize,
    /// Documents that have none, and will not have one in this run.
    pub n_failed: usize,
    /// Those among them that may have one in another run, as they are.
    pub n_unlucky: usize,
    /// Summaries that were cut off.
    pub n_cut_off: usize,
    /// Bytes of documents, those of unfinished ones by how far they are.
    pub n_bytes: usize,
    /// Those among them of parts to which an earlier run had answers.
    pub n_kept_bytes: usize,
    /// Tokens that were read and written.
    pub tokens: Tokens,
}

impl Progress {
    /// The part of the work on documents of so many bytes that this run has done.
    pub fn part(&self, n_bytes: usize) -> f64 {
        (self.n_bytes - self.n_kept_bytes) as f64 / (n_bytes - self.n_kept_bytes) as f64
    }

    /// Counts documents that are finished.
    pub(super) fn finish(&mut self, lines: &[Line]) {
        for line in lines {
            match line {
                Line::Done(summary) => {
                    self.n_done += 1;
                    self.n_cut_off += usize::from(summary.finish_reason.is_cut_off());
                }
                Line::Failed(_) => self.n_failed += 1,
            }
        }
    }
}

/// Chunks of long documents whose partial summary is empty or hit the limit of tokens: what they say
/// there is in no summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truncations {
    /// Documents with parts of which the model said nothing.
    pub silent: Vec<String>,
    /// Documents with parts whose own summaries were cut off.
    pub cut_off: Vec<String>,
    /// The parts of these.
    pub n_cut_off_parts: usize,
}

impl Truncations {
    /// Takes note of a document that now has a summary.
    pub(super) fn note(&mut self, reduction: &Reduction<'_>) {
        let Reduction { entry, is_partly_silent, n_cut_off_parts, .. } = reduction;
        self.silent.extend(is_partly_silent.then(|| entry.id.clone()));
        self.cut_off.extend((*n_cut_off_parts > 0).then(|| entry.id.clone()));
        self.n_cut_off_parts += n_cut_off_parts;
    }
}
