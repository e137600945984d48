//! Tensors as the files of a checkpoint hold them: under the names and in the layout they have
//! there.

use super::error::{CheckpointError, Problem};
use gatefold_quant::DynFormat;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::{self, File};
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// An open file with weights in it.
///
/// It is read by position, not mapped: a conversion reads every byte once, and mapped pages would
/// count as the program's memory; a disk that fails is an error, not a signal.
#[derive(Debug)]
pub struct SourceFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub n_bytes: u64,
    /// When it was last written, where the system knows.
    pub modified: Option<SystemTime>,
    bytes: Mutex<Bytes>,
}

/// Where the bytes are.
#[derive(Debug)]
enum Bytes {
    File(File),
    Memory(Cursor<Vec<u8>>),
}

/// What Git LFS writes at the start of a pointer.
const LFS: &[u8] = b"version https://git-lfs";

impl SourceFile {
    /// Opens a regular file.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Arc<SourceFile>, CheckpointError> {
        let read = |error| Problem::Read(error).at(path);
        // Asked before opening: to open a pipe is to wait for whoever writes into it.
        let metadata = fs::metadata(path).map_err(read)?;
        if !metadata.is_file() {
            return Err(Problem::NotAFile.at(path));
        }
        let mut file = File::open(path).map_err(read)?;
        let mut start = Vec::new();
        file.by_ref().take(LFS.len() as u64).read_to_end(&mut start).map_err(read)?;
        if start == LFS {
            return Err(Problem::LfsPointer.at(path));
        }
        let (n_bytes, modified) = (metadata.len(), metadata.modified().ok());
        let bytes = Mutex::new(Bytes::File(file));
        Ok(Arc::new(SourceFile { path: path.to_path_buf(), n_bytes, modified, bytes }))
    }

    /// Bytes that follow from what is at `path`, and are in no file.
    pub(super) fn in_memory(path: &Path, bytes: Vec<u8>) -> Arc<SourceFile> {
        let n_bytes = bytes.len() as u64;
        let bytes = Mutex::new(Bytes::Memory(Cursor::new(bytes)));
        Arc::new(SourceFile { path: path.to_path_buf(), n_bytes, modified: None, bytes })
    }

    /// The bytes, where they are in no file.
    pub fn in_no_file(&self) -> Option<Vec<u8>> {
        match &*self.bytes.lock().unwrap_or_else(PoisonError::into_inner) {
            Bytes::File(_) => None,
            Bytes::Memory(bytes) => Some(bytes.get_ref().clone()),
        }
    }

    /// Fills `out` from the bytes at `offset`.
    ///
    /// # Errors
    /// If the file ends before that, or cannot be read.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), CheckpointError> {
        let start = SeekFrom::Start(offset);
        let read = match &mut *self.bytes.lock().unwrap_or_else(PoisonError::into_inner) {
            Bytes::File(file) => file.seek(start).and_then(|_| file.read_exact(out)),
            Bytes::Memory(bytes) => bytes.seek(start).and_then(|_| bytes.read_exact(out)),
        };
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => Problem::Shrunk.at(&self.path),
            _ => Problem::Read(error).at(&self.path),
        })
    }
}

/// A tensor of a file.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    /// The format of its blocks; single numbers are blocks of one. Where there is none for its
    /// type of numbers, the name of that type, `I64`: an error once a model needs the tensor and
    /// the numbers cannot be decoded.
    pub format: Result<&'static DynFormat, String>,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// The file that holds it.
    pub file: Arc<SourceFile>,
    /// Where in the file it begins. That it ends within the file is checked where this is made.
    pub offset: u64,
}

/// The tensors of one or more files, by their names there.
#[derive(Debug, Default)]
pub struct StoredTensors {
    /// The files, in the order of their names.
    pub files: Vec<Arc<SourceFile>>,
    /// The tensors.
    pub tensors: BTreeMap<String, StoredTensor>,
}

impl StoredTensors {
    /// Adds a tensor.
    ///
    /// # Errors
    /// If there is one of that name.
    pub fn insert(&mut self, name: String, tensor: StoredTensor) -> Result<(), CheckpointError> {
        match self.tensors.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(tensor);
                Ok(())
            }
            Entry::Occupied(entry) => {
                let other = entry.get().file.path.clone();
                Err(Problem::Duplicate { tensor: entry.key().clone(), other }.at(&tensor.file.path))
            }
        }
    }
}
