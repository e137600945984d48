//! The folder.

use super::batches::{BatchRecord, Status};
use super::error::StoreError;
use super::files::FileRecord;
use super::id::{Id, Kind};
use super::space::Space;
use crate::batch::count_rows;
use gatefold::files::{open_locked, replace, sync_folder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use std::{io, mem};

/// What a folder of ours has, from its first moment on.
const LOCK: &str = "lock";

/// Files and batches in a folder, which belongs to this process until it is dropped.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    max_upload: u64,
    pub(super) space: Space,
    _lock: File,
    /// Held while records are written, and never waited for by who only reads.
    writing: Mutex<()>,
    state: Mutex<State>,
    /// Wakes whoever works on batches.
    pub(super) news: Condvar,
    /// Whether the batch that is worked on is to end: it is cancelled, or the process ends.
    pub(super) is_interrupted: AtomicBool,
}

/// What there is.
#[derive(Debug, Default)]
pub(super) struct State {
    pub files: BTreeMap<Id, FileRecord>,
    pub batches: BTreeMap<Id, BatchRecord>,
    /// What the answers of batches take on the disk, where they are gathered.
    pub gathered: BTreeMap<Id, u64>,
    /// The batch that is worked on.
    pub current: Option<Id>,
    /// Batches that do not go on, with when they are tried again.
    pub paused: BTreeMap<Id, Instant>,
    pub is_stopping: bool,
    /// Rows that this process has answered or refused.
    pub n_rows: u64,
    /// When the last name was given, in milliseconds.
    last_time: u64,
}

/// How much there is to do, and was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Batches that are not done.
    pub n_open: usize,
    /// Those among them that are worked on.
    pub n_running: usize,
    /// Rows that this process has answered or refused.
    pub n_rows: u64,
}

impl Store {
    /// Opens a folder, or makes it; files that clients send may have `max_upload` bytes, and together with
    /// results `max_store`. In one that is there is nothing, or what an earlier server has left;
    /// of this, what it had no time to finish writing is removed.
    ///
    /// # Errors
    /// If another server has it, it is somebody else's, or cannot be used.
    pub fn open(path: &Path, max_upload: u64, max_store: u64) -> Result<Store, StoreError> {
        let failed = StoreError::file(path, "used as a folder");
        make_folder(path).map_err(&failed)?;
        let lock_path = path.join(LOCK);
        if !lock_path.exists() {
            let mut entries = fs::read_dir(path).map_err(&failed)?;
            // What the root of a file system has from the beginning.
            let is_other = |entry: io::Result<fs::DirEntry>| {
                entry.map_or(true, |entry| entry.file_name() != "lost+found")
            };
            if entries.any(is_other) {
                return Err(StoreError::Foreign { path: path.into() });
            }
        }
        let lock = open_locked(&lock_path).map_err(StoreError::file(&lock_path, "locked"))?;
        let lock = lock.ok_or_else(|| StoreError::Locked { path: path.into() })?;
        for folder in ["files", "batches"] {
            make_folder(&path.join(folder)).map_err(&failed)?;
        }
        sync_folder(&lock_path).map_err(&failed)?;
        let mut store = Store {
            path: path.into(),
            max_upload,
            space: Space::new(max_store, 0),
            _lock: lock,
            writing: Mutex::default(),
            state: Mutex::default(),
            news: Condvar::new(),
            is_interrupted: AtomicBool::new(false),
        };
        let files = store.read_records("files", Kind::File)?;
        let mut batches: BTreeMap<Id, BatchRecord> = store.read_records("batches", Kind::Batch)?;
        store.sweep("files", &files)?;
        let open = batches.iter().filter(|(_, batch)| !batch.status.is_final());
        store.sweep("batches", &open.map(|(id, batch)| (id.clone(), batch)).collect())?;
        for (id, batch) in batches.iter_mut().filter(|(_, batch)| !batch.status.is_final()) {
            let counts = &mut batch.request_counts;
            [counts.completed, counts.failed] = count_rows(&store.results_path(id));
        }
        let of_files = files.values().map(FileRecord::on_disk).sum::<u64>();
        let of_batches = batches.values().map(BatchRecord::on_disk).sum::<u64>();
        store.space = Space::new(max_store, of_files + of_batches);
        let open = batches.iter().filter(|(_, batch)| !batch.status.is_final());
        open.for_each(|(id, _)| store.measure_results(id));
        let gathered = mem::take(&mut store.state().gathered);
        *store.state() = State { files, batches, gathered, ..State::default() };
        Ok(store)
    }

    /// Most bytes of a file that a client sends.
    pub fn max_upload(&self) -> u64 {
        self.max_upload
    }

    /// How much there is to do, and was done.
    pub fn tally(&self) -> Tally {
        let state = self.state();
        let is_open = |batch: &&BatchRecord| !batch.status.is_final();
        let is_running = |id: &Id| state.batches[id].status == Status::InProgress;
        Tally {
            n_open: state.batches.values().filter(is_open).count(),
            n_running: state.current.iter().filter(|id| is_running(id)).count(),
            n_rows: state.n_rows,
        }
    }

    /// What there is, also if whoever had it last has panicked: records are exchanged as wholes.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to write records.
    pub(super) fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A name that nothing has had, later than all that were given.
    pub(super) fn new_id(&self, kind: Kind) -> Id {
        let mut state = self.state();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        state.last_time = (now.as_millis() as u64).max(state.last_time + 1);
        Id::new(kind, state.last_time)
    }

    /// Where the bytes of a file are.
    pub(super) fn data_path(&self, id: &Id) -> PathBuf {
        self.path.join("files").join(format!("{id}.data"))
    }

    /// Where the answers of a batch are gathered.
    pub(super) fn results_path(&self, id: &Id) -> PathBuf {
        self.path.join("batches").join(format!("{id}.jsonl"))
    }

    /// Where it is told of something.
    pub(super) fn record_path(&self, folder: &str, id: &Id) -> PathBuf {
        self.path.join(folder).join(format!("{id}.json"))
    }

    /// Puts a record in its place.
    pub(super) fn write_record(
        &self,
        folder: &str,
        id: &Id,
        record: &impl Serialize,
    ) -> Result<(), StoreError> {
        let path = self.record_path(folder, id);
        let json = serde_json::to_vec(record).expect("records have texts as keys");
        replace(&path, &json).map_err(StoreError::file(&path, "written"))
    }

    fn read_records<T: DeserializeOwned>(
        &self,
        folder: &str,
        kind: Kind,
    ) -> Result<BTreeMap<Id, T>, StoreError> {
        let mut records = BTreeMap::new();
        for (path, name) in self.list(folder)? {
            let id = name.strip_suffix(".json").and_then(|name| Id::parse(kind, name));
            let Some(id) = id else { continue };
            let json = fs::read(&path).map_err(StoreError::file(&path, "read"))?;
            let record = serde_json::from_slice(&json);
            records.insert(id, record.map_err(|error| StoreError::Damaged { path, error })?);
        }
        Ok(records)
    }

    /// Removes what an earlier process had no time to finish: files on their way to their names, and those
    /// of which no record tells.
    fn sweep<T>(&self, folder: &str, records: &BTreeMap<Id, T>) -> Result<(), StoreError> {
        for (path, name) in self.list(folder)? {
            let id = name.split('.').next().and_then(|id| Id::try_from(id.to_owned()).ok());
            let is_forgotten = id.is_some_and(|id| !records.contains_key(&id));
            if name.starts_with(".tmp") || is_forgotten && !name.ends_with(".json") {
                fs::remove_file(&path).map_err(StoreError::file(&path, "deleted"))?;
            }
        }
        Ok(())
    }

    fn list(&self, folder: &str) -> Result<Vec<(PathBuf, String)>, StoreError> {
        let folder = self.path.join(folder);
        let failed = StoreError::file(&folder, "read");
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.path(), entry.file_name().to_string_lossy().into_owned()))
        };
        let entries = fs::read_dir(&folder).map_err(&failed)?.map(entry);
        entries.collect::<Result<_, _>>().map_err(failed)
    }
}

/// Makes a folder, if there is none, that is its owner's alone: what people ask is nobody else's.
fn make_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}
