//! Batches are answered, one after the other.

use super::batches::{BatchRecord, Counts, Errors, Status};
use super::error::StoreError;
use super::files::Purpose;
use super::folder::Store;
use super::id::Id;
use super::trouble::Trouble;
use crate::batch::{Batch, BatchError, Found, Input, Progress, Setup, separate};
use crate::jobs::{Background, Sink, drive};
use crate::openai::Fault;
use gatefold::engine::Handle;
use gatefold::text::one_line;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Requests of a batch.
const MOST_ROWS: usize = 50_000;

/// Things wrong with an input that are told.
const MOST_ERRORS: usize = 100;

/// How long a batch is not tried again that does not go on, when the disk is full, say.
const PAUSE: Duration = Duration::from_secs(10);

/// Answers batches in the background of an engine until the store is [stopped](Store::stop). Why one does
/// not go on, when the disk is full, say, is told to `tell`; others have their turn until it is tried
/// again.
pub fn work(store: &Store, handle: &Handle, setup: &Setup<'_>, tell: &dyn Fn(&dyn Display)) {
    let mut told = BTreeMap::new();
    while let Some(record) = store.next_batch() {
        let id = &record.id;
        let Err(trouble) = work_on(store, handle, setup, &record) else {
            told.remove(id);
            continue;
        };
        let text = format!("{id}: {}", one_line(&trouble));
        if told.insert(id.clone(), text.clone()).is_none_or(|before| before != text) {
            tell(&text);
        }
        let errors = Errors::new(vec![(None, trouble.into())]);
        let is_over = record.status == Status::Cancelling && end(store, id, errors.clone()).is_ok();
        if !is_over {
            store.set_aside(&record, errors);
        }
    }
}

impl Store {
    /// Ends the work on batches, as far as it is: the next process goes on.
    pub fn stop(&self) {
        self.state().is_stopping = true;
        self.is_interrupted.store(true, Ordering::SeqCst);
        self.news.notify_all();
    }

    /// Waits for a batch to work on: one that is to end, or else the first that came.
    fn next_batch(&self) -> Option<BatchRecord> {
        let mut state = self.state();
        loop {
            state.current = None;
            if state.is_stopping {
                return None;
            }
            let now = Instant::now();
            state.paused.retain(|_, end| *end > now);
            let is_ending = |batch: &&BatchRecord| batch.status == Status::Cancelling;
            let is_open = |batch: &&BatchRecord| {
                !batch.status.is_final() && !state.paused.contains_key(&batch.id)
            };
            let open = || state.batches.values().filter(is_open);
            if let Some(batch) = open().find(is_ending).or_else(|| open().next()) {
                let batch = batch.clone();
                state.current = Some(batch.id.clone());
                self.is_interrupted.store(false, Ordering::SeqCst);
                return Some(batch);
            }
            let most = state.paused.values().min().map_or(PAUSE, |end| *end - now);
            let woken = self.news.wait_timeout(state, most);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets others pass before a batch that does not go on, and says why that is so. One that has come
    /// further meanwhile, or is cancelled, is another matter.
    fn set_aside(&self, record: &BatchRecord, errors: Errors) {
        let mut state = self.state();
        let Some(batch) = state.batches.get_mut(&record.id) else { return };
        batch.errors = Some(errors);
        if batch.status == record.status {
            state.paused.insert(record.id.clone(), Instant::now() + PAUSE);
        }
    }
}

/// Works on a batch to its end, or until it is interrupted.
fn work_on(
    store: &Store,
    handle: &Handle,
    setup: &Setup<'_>,
    record: &BatchRecord,
) -> Result<(), Trouble> {
    let id = &record.id;
    let fail = |faults| fail(store, id, faults);
    let input = match Input::open(&store.data_path(&record.input_file_id)) {
        Ok(input) => input,
        // Somebody has taken it away.
        Err(BatchError::Input { error, .. }) if error.kind() == ErrorKind::NotFound => {
            let message = "the input is gone from the disk";
            return fail(vec![(None, Fault::ours("input_missing", message))]);
        }
        Err(error) => return Err(error.into()),
    };
    // Before there is a plan, whose size is theirs.
    match input.count(MOST_ROWS + 1)? {
        0 => return fail(vec![(None, Fault::new("empty_file", "the input has no requests"))]),
        1..=MOST_ROWS => {}
        _ => {
            let message = format!("the input has more than {MOST_ROWS} requests");
            return fail(vec![(None, Fault::new("too_many_requests", message))]);
        }
    }
    let plan = input.plan(&setup.terms)?;
    if record.status == Status::Validating {
        // What is wrong with a body is a matter of its request alone.
        let faults = input.faults(&plan, &setup.terms, &record.endpoint).take(MOST_ERRORS);
        let faults = faults.map(|found| found.map(|(line, fault)| (Some(line), fault)));
        let faults: Vec<_> = faults.collect::<Result<_, _>>()?;
        if !faults.is_empty() {
            return fail(faults);
        }
        let total = plan.items.len();
        store.change_batch(id, |batch| {
            batch.request_counts.total = total;
            // It may have been cancelled meanwhile.
            if batch.status == Status::Validating {
                batch.enter(Status::InProgress);
            }
        })?;
    }

    let (results, found) = Found::open(&store.results_path(id), &plan)?;
    let mut n_seen = 0;
    let mut count = |Progress { n_done, n_refused, n_failed, .. }: Progress| {
        let failed = found.n_refused + n_refused + n_failed;
        let completed = found.n_done + n_done - found.n_refused - n_refused;
        let n_new = n_done + n_failed - n_seen;
        n_seen += n_new;
        store.measure_results(id);
        store.count_rows(id, n_new, Counts { total: plan.items.len(), completed, failed });
    };
    let mut batch = Batch::new(setup.clone(), input, &plan, Sink::File(results), &mut count);
    let is_ending = record.status == Status::Cancelling;
    if !is_ending && !drive(&mut batch, &mut Background::of(handle), &store.is_interrupted)? {
        return Ok(());
    }
    batch.drop_replaced()?;
    finish(store, id, is_ending)
}

/// Ends a batch whose input is none.
fn fail(store: &Store, id: &Id, faults: Vec<(Option<usize>, Fault)>) -> Result<(), Trouble> {
    store.change_batch(id, |batch| {
        batch.errors = Some(Errors::new(faults));
        batch.enter(Status::Failed);
    })?;
    Ok(())
}

/// Ends a batch that is cancelled and whose results cannot be put together.
fn end(store: &Store, id: &Id, errors: Errors) -> Result<(), StoreError> {
    store.change_batch(id, |batch| {
        batch.errors = Some(errors);
        batch.enter(Status::Cancelled);
    })
}

/// Makes files of the answers, and of what is wrong with requests. The files have the same names and
/// contents when this is done again, by a process that goes on.
fn finish(store: &Store, id: &Id, is_ending: bool) -> Result<(), Trouble> {
    if !is_ending {
        store.change_batch(id, |batch| {
            if batch.status != Status::Finalizing {
                batch.enter(Status::Finalizing);
            }
        })?;
    }
    let results = store.results_path(id);
    let begin = |what| store.begin_results(Id::of_results(id, what));
    let (mut output, mut error) = (begin("output")?, begin("error")?);
    let [completed, failed] = separate::<Trouble>(
        &results,
        &mut |line| Ok(output.write(&[line, b"\n"].concat())?),
        &mut |line| Ok(error.write(&[line, b"\n"].concat())?),
    )?;
    let mut kept = [None, None];
    for (kept, (n_rows, file, what)) in
        kept.iter_mut().zip([(completed, output, "output"), (failed, error, "error")])
    {
        if n_rows > 0 {
            let name = format!("{id}_{what}.jsonl");
            *kept = Some(store.keep_file(file, name, Purpose::BatchOutput)?.id);
        }
    }
    store.change_batch(id, |batch| {
        [batch.output_file_id, batch.error_file_id] = kept;
        (batch.request_counts.completed, batch.request_counts.failed) = (completed, failed);
        batch.errors = None;
        batch.enter(if is_ending { Status::Cancelled } else { Status::Completed });
    })?;
    // Where this fails, the next start removes it.
    let _ = fs::remove_file(results);
    store.measure_results(id);
    Ok(())
}
