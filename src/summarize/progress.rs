//! How far a run is.

use super::line::Line;
use crate::jobs::Tokens;

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Documents that are finished, in whatever way.
    pub n_done: usize,
    /// Those among them without a summary.
    pub n_failed: usize,
    /// Those among them whose summary was cut off.
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
        self.n_done += lines.len();
        for line in lines {
            match line {
                Line::Done(summary) => {
                    self.n_cut_off += usize::from(summary.finish_reason.is_cut_off());
                }
                Line::Failed(_) => self.n_failed += 1,
            }
        }
    }
}
