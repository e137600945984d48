//! Files: what clients send, and what batches come to.

use super::error::StoreError;
use super::folder::Store;
use super::id::{Id, Kind};
use super::now;
use super::space::{Taken, on_disk};
use gatefold::files::{Replacement, sync_folder};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{BufWriter, IntoInnerError, Write};
use std::path::PathBuf;

/// What is known of a file; written as OpenAI's file object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name.
    pub id: Id,
    /// `file`.
    object: Object,
    /// Its length.
    pub bytes: u64,
    /// When it was made, in seconds since 1970.
    pub created_at: u64,
    /// What whoever sent it calls it.
    pub filename: String,
    /// What it is for.
    pub purpose: Purpose,
    /// `processed`: there is nothing to wait for.
    status: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Object {
    File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Processed,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The requests of a batch.
    Batch,
    /// What became of them.
    BatchOutput,
}

impl Purpose {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Purpose::Batch => "batch",
            Purpose::BatchOutput => "batch_output",
        }
    }
}

/// A file on its way to the disk, of which nothing is left where it is dropped.
#[derive(Debug)]
pub struct Upload {
    id: Id,
    path: PathBuf,
    file: BufWriter<Replacement>,
    most: u64,
    n_bytes: u64,
    taken: Taken,
}

impl FileRecord {
    /// What the file takes on the disk, together with this.
    pub(super) fn on_disk(&self) -> u64 {
        with_record(self.bytes)
    }
}

/// What a file of so many bytes takes on the disk, together with its record.
fn with_record(n_bytes: u64) -> u64 {
    on_disk(n_bytes) + on_disk(0)
}

impl Upload {
    /// Writes more of it.
    ///
    /// # Errors
    /// If it is too large, or the disk is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.n_bytes += bytes.len() as u64;
        if self.n_bytes > self.most {
            return Err(StoreError::TooLarge { most: self.most });
        }
        self.taken.grow_to(with_record(self.n_bytes))?;
        self.file.write_all(bytes).map_err(StoreError::file(&self.path, "written"))
    }
}

impl Store {
    /// Begins a file that a client sends.
    ///
    /// # Errors
    /// If none can be made.
    pub fn begin_upload(&self) -> Result<Upload, StoreError> {
        self.begin_file(self.new_id(Kind::File), self.max_upload(), self.space.taken())
    }

    /// Begins a file of results of this name, which is kept however full the folder is: they are done.
    pub(super) fn begin_results(&self, id: Id) -> Result<Upload, StoreError> {
        self.begin_file(id, u64::MAX, self.space.taken_in_any_case())
    }

    fn begin_file(&self, id: Id, most: u64, mut taken: Taken) -> Result<Upload, StoreError> {
        taken.grow_to(with_record(0))?;
        let path = self.data_path(&id);
        let file = Replacement::of(&path).map_err(StoreError::file(&path, "written"))?;
        Ok(Upload { id, path, file: BufWriter::new(file), most, n_bytes: 0, taken })
    }

    /// Keeps a file that has come to its end: its bytes first, and then what is known of it.
    ///
    /// # Errors
    /// If the disk is full, say.
    pub fn keep_file(
        &self,
        upload: Upload,
        filename: String,
        purpose: Purpose,
    ) -> Result<FileRecord, StoreError> {
        let Upload { id, path, file, n_bytes: bytes, taken, .. } = upload;
        let file = file.into_inner().map_err(IntoInnerError::into_error);
        file.and_then(Replacement::put_in_place).map_err(StoreError::file(&path, "written"))?;
        let (object, status, created_at) = (Object::File, State::Processed, now());
        let record = FileRecord { id, object, bytes, created_at, filename, purpose, status };
        let kept = self.write_record("files", &record.id, &record);
        if kept.is_err() {
            // The error is told already, and without a record the next start removes it.
            let _ = fs::remove_file(&path);
        }
        kept?;
        let before = self.state().files.insert(record.id.clone(), record.clone());
        taken.keep();
        // Results may be put together a second time.
        self.space.give_back(before.map_or(0, |before| before.on_disk()));
        Ok(record)
    }

    /// What is known of a file.
    ///
    /// # Errors
    /// If there is none of this name.
    pub fn file(&self, id: &str) -> Result<FileRecord, StoreError> {
        let found = Id::parse(Kind::File, id).and_then(|id| self.state().files.get(&id).cloned());
        found.ok_or_else(|| StoreError::Missing { what: "file", id: id.into() })
    }

    /// Opens a file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open_file(&self, id: &Id) -> Result<File, StoreError> {
        let path = self.data_path(id);
        File::open(&path).map_err(StoreError::file(&path, "read"))
    }

    /// Deletes a file that no batch needs.
    ///
    /// # Errors
    /// If there is none, a batch needs it, or it cannot be deleted.
    pub fn delete_file(&self, id: &str) -> Result<Id, StoreError> {
        let _writing = self.writing();
        let id = self.file(id)?.id;
        let state = self.state();
        let mut batches = state.batches.values();
        let needs = batches.find(|batch| !batch.status.is_final() && batch.input_file_id == id);
        if let Some(batch) = needs {
            return Err(StoreError::InUse { file: id, batch: batch.id.clone() });
        }
        drop(state);
        let path = self.record_path("files", &id);
        let deleted = fs::remove_file(&path).and_then(|()| sync_folder(&path));
        deleted.map_err(StoreError::file(&path, "deleted"))?;
        let record = self.state().files.remove(&id);
        // Where this fails, the next start removes them.
        let _ = fs::remove_file(self.data_path(&id));
        self.space.give_back(record.map_or(0, |record| record.on_disk()));
        Ok(id)
    }
}
