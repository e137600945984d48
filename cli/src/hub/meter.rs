//! How far a download is: a bar on a terminal, in a log a line now and then.

use crate::terminal::progress::{PatientLog, amount_bar};
use gatefold::text::{bytes, decimal};
use indicatif::ProgressBar;
use std::time::{Duration, Instant};

/// Shows how far the files of a model are.
pub struct Meter {
    bar: ProgressBar,
    log: PatientLog,
    what: String,
    n_all: u64,
    n_before: u64,
    start: Instant,
    told: Option<Instant>,
}

/// A log hears of it in steps of so long at most.
const STEP: Duration = Duration::from_millis(500);

impl Meter {
    /// Of so many bytes in all; `what` says what is done with them: `fetching a/b:Q8_0`.
    pub fn new(what: String, n_all: u64) -> Meter {
        let (bar, log) = (amount_bar(n_all, "bytes"), PatientLog::begin());
        Meter { bar, log, what, n_all, n_before: 0, start: Instant::now(), told: None }
    }

    /// So many bytes of this file are here, of which the disk had so many before.
    pub fn at(&mut self, n_bytes: u64) {
        let n_done = self.n_before + n_bytes;
        self.bar.set_position(n_done);
        if self.told.is_some_and(|told| told.elapsed() < STEP) {
            return;
        }
        self.told = Some(Instant::now());
        let rate =
            self.bar.per_sec().max(n_done as f64 / self.start.elapsed().as_secs_f64().max(1e-3))
                as u64;
        let left = self.n_all.saturating_sub(n_done) / rate.max(1);
        self.log.doing(format!(
            "{}: {} of {}, {}/s, {} left",
            self.what,
            bytes(n_done),
            bytes(self.n_all),
            decimal(rate),
            indicatif::HumanDuration(Duration::from_secs(left))
        ));
    }

    /// A file of so many bytes is finished.
    pub fn next(&mut self, n_bytes: u64) {
        self.at(n_bytes);
        self.n_before += n_bytes;
    }

    /// Of what is found out late, so many bytes in all.
    pub fn set_all(&mut self, n_all: u64) {
        self.n_all = n_all;
        self.bar.set_length(n_all);
    }

    /// Takes it off the screen while a line is printed.
    pub fn note(&self, line: &str) {
        self.bar.suspend(|| crate::terminal::print_note(line));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
