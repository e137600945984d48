//! Batches: what was asked, and how far it is.

use super::error::StoreError;
use super::files::Purpose;
use super::folder::Store;
use super::id::{Id, Kind};
use super::now;
use super::space::on_disk;
use crate::openai::Fault;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fs;
use std::sync::atomic::Ordering;

/// What is known of a batch; written as OpenAI's batch object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchRecord {
    /// Its name.
    pub id: Id,
    object: Object,
    /// Where all of its requests go.
    pub endpoint: String,
    /// What is wrong with the input as a whole, or keeps the batch from going on.
    pub errors: Option<Errors>,
    /// Its requests.
    pub input_file_id: Id,
    /// How long it may take at OpenAI; here it takes as long as it takes.
    completion_window: String,
    /// How far it is.
    pub status: Status,
    /// The answers, when it is over and there are any.
    pub output_file_id: Option<Id>,
    /// What is wrong with requests, likewise.
    pub error_file_id: Option<Id>,
    created_at: u64,
    in_progress_at: Option<u64>,
    /// A batch does not expire.
    #[serde(skip_deserializing)]
    expires_at: (),
    finalizing_at: Option<u64>,
    completed_at: Option<u64>,
    failed_at: Option<u64>,
    #[serde(skip_deserializing)]
    expired_at: (),
    cancelling_at: Option<u64>,
    cancelled_at: Option<u64>,
    /// How many requests are in which state.
    pub request_counts: Counts,
    /// What whoever made it wants to know again.
    metadata: Option<Map<String, Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Object {
    Batch,
    List,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Its input is to be looked at.
    Validating,
    /// Its input is no batch.
    Failed,
    /// Its requests are answered, or wait for that.
    InProgress,
    /// Its answers are put together.
    Finalizing,
    /// All requests have been answered or refused.
    Completed,
    /// It is to end, and what it has is put together.
    Cancelling,
    /// It was ended.
    Cancelled,
}

/// How many requests are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All.
    pub total: usize,
    /// Answered.
    pub completed: usize,
    /// Refused, or failed.
    pub failed: usize,
}

/// What is wrong with an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Errors {
    object: Object,
    data: Vec<LineError>,
}

/// What is wrong with a line of it, or with all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LineError {
    code: String,
    line: Option<usize>,
    message: String,
    param: Option<String>,
}

/// What a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The requests.
    pub input_file_id: String,
    /// Where all of them go.
    pub endpoint: String,
    /// How long it may take.
    pub completion_window: String,
    /// What the client wants to know again.
    pub metadata: Option<Map<String, Value>>,
}

impl Status {
    /// Whether nothing will become of it any more.
    pub fn is_final(self) -> bool {
        matches!(self, Status::Failed | Status::Completed | Status::Cancelled)
    }

    fn name(self) -> &'static str {
        match self {
            Status::Validating => "validating",
            Status::Failed => "failed",
            Status::InProgress => "in progress",
            Status::Finalizing => "finalizing",
            Status::Completed => "completed",
            Status::Cancelling => "being cancelled",
            Status::Cancelled => "cancelled",
        }
    }
}

impl Errors {
    /// Those of lines, by their numbers; none is all of them.
    pub(super) fn new(faults: Vec<(Option<usize>, Fault)>) -> Errors {
        let data = faults.into_iter().map(|(line, fault)| {
            let Fault { code, param, message, .. } = fault;
            LineError { code: code.into(), line, message, param }
        });
        Errors { object: Object::List, data: data.collect() }
    }
}

impl BatchRecord {
    /// Enters a status, now.
    pub(super) fn enter(&mut self, status: Status) {
        self.status = status;
        let since = match status {
            Status::Validating => return,
            Status::Failed => &mut self.failed_at,
            Status::InProgress => &mut self.in_progress_at,
            Status::Finalizing => &mut self.finalizing_at,
            Status::Completed => &mut self.completed_at,
            Status::Cancelling => &mut self.cancelling_at,
            Status::Cancelled => &mut self.cancelled_at,
        };
        *since = Some(now());
    }

    /// What this takes on the disk.
    pub(super) fn on_disk(&self) -> u64 {
        on_disk(serde_json::to_vec(self).map_or(0, |json| json.len() as u64))
    }
}

impl Store {
    /// Takes a batch, which is worked on behind those that there are.
    ///
    /// # Errors
    /// If there is no such input, or the batch cannot be kept.
    pub fn create_batch(&self, asked: Asked) -> Result<BatchRecord, StoreError> {
        let Asked { input_file_id, endpoint, completion_window, metadata } = asked;
        let id = self.new_id(Kind::Batch);
        let _writing = self.writing();
        let input = self.file(&input_file_id)?;
        if input.purpose != Purpose::Batch {
            return Err(StoreError::Purpose { file: input.id, purpose: input.purpose.name() });
        }
        let record = BatchRecord {
            id,
            object: Object::Batch,
            endpoint,
            errors: None,
            input_file_id: input.id,
            completion_window,
            status: Status::Validating,
            output_file_id: None,
            error_file_id: None,
            created_at: now(),
            in_progress_at: None,
            expires_at: (),
            finalizing_at: None,
            completed_at: None,
            failed_at: None,
            expired_at: (),
            cancelling_at: None,
            cancelled_at: None,
            request_counts: Counts::default(),
            metadata,
        };
        // That it comes to be is refused where there is no room; what becomes of it is kept in any case.
        let mut room = self.space.taken();
        room.grow_to(record.on_disk())?;
        self.put_batch(record.clone())?;
        Ok(record)
    }

    /// What is known of a batch.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn batch(&self, id: &str) -> Result<BatchRecord, StoreError> {
        let found =
            Id::parse(Kind::Batch, id).and_then(|id| self.state().batches.get(&id).cloned());
        found.ok_or_else(|| StoreError::Missing { what: "batch", id: id.into() })
    }

    /// Ends a batch; the answers that it has are put together. One that is ending stays as it is.
    ///
    /// # Errors
    /// If there is none, or it has come to its end.
    pub fn cancel_batch(&self, id: &str) -> Result<BatchRecord, StoreError> {
        let _writing = self.writing();
        let mut record = self.batch(id)?;
        match record.status {
            Status::Cancelling => return Ok(record),
            Status::Finalizing if record.errors.is_none() => return Ok(record),
            Status::Validating | Status::InProgress | Status::Finalizing => {
                record.enter(Status::Cancelling);
            }
            status => return Err(StoreError::Over { batch: record.id, status: status.name() }),
        }
        self.put_batch(record.clone())?;
        let mut state = self.state();
        state.paused.remove(&record.id);
        if state.current.as_ref() == Some(&record.id) {
            self.is_interrupted.store(true, Ordering::SeqCst);
        }
        drop(state);
        self.news.notify_all();
        Ok(record)
    }

    /// Changes a batch, on the disk first.
    pub(super) fn change_batch(
        &self,
        id: &Id,
        change: impl FnOnce(&mut BatchRecord),
    ) -> Result<(), StoreError> {
        let _writing = self.writing();
        let mut record = self.batch(id.as_str())?;
        change(&mut record);
        self.put_batch(record)
    }

    /// Takes note of how far a batch is, which is found out again where this is forgotten.
    pub(super) fn count_rows(&self, id: &Id, n_new: usize, counts: Counts) {
        let mut state = self.state();
        state.n_rows += n_new as u64;
        if let Some(batch) = state.batches.get_mut(id) {
            batch.request_counts = counts;
            if n_new > 0 {
                batch.errors = None;
            }
        }
    }

    fn put_batch(&self, record: BatchRecord) -> Result<(), StoreError> {
        self.write_record("batches", &record.id, &record)?;
        let after = record.on_disk();
        let before = self.state().batches.insert(record.id.clone(), record);
        self.space.exchange(before.map_or(0, |before| before.on_disk()), after);
        self.news.notify_all();
        Ok(())
    }

    /// Takes note of how much the answers of a batch take on the disk, where they are gathered.
    pub(super) fn measure_results(&self, id: &Id) {
        let found = fs::metadata(self.results_path(id));
        let after = found.map_or(0, |found| on_disk(found.len()));
        let before = self.state().gathered.insert(id.clone(), after);
        self.space.exchange(before.unwrap_or(0), after);
    }
}
