//! GGUF files: metadata and tensors, validated once, then borrowed from the memory map.
//!
//! A file is read in four steps, each of which trusts the one before: `map` (the bytes), `header`
//! (its structure, scanned without trusting anything), `decode` (the values of its keys), and
//! `validate` (its tensors, against the file). `split` puts the parts of a model together;
//! [`Writer`] is the way back. The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.
//!
//! Opening costs time and memory for the header alone: the data is mapped, and not looked at.
//! [`ReadAhead`] brings it into memory while it is used already.

mod decode;
mod direct;
mod error;
mod fingerprint;
mod formats;
mod header;
mod map;
mod metadata;
mod packing;
mod piece;
mod read_ahead;
mod split;
mod validate;
mod value;
mod write;

pub(crate) use direct::{DirectFile, PAGE_LEN, Pages};
pub use error::{GgufError, Problem};
pub use map::Bytes;
pub(crate) use map::Mapped;
pub use metadata::{ARCHITECTURE_KEY, FILE_TYPE_KEY, Metadata, is_of_one_file};
pub use packing::Packing;
pub use read_ahead::ReadAhead;
pub use split::part_path;
pub use value::{Array, Kind, Value};
pub use write::{FileLayout, TensorPlan, WriteError, Writer};

use crate::files::kind_of;
use gatefold_quant::DynFormat;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A model in GGUF: a file, or all parts of a split one.
#[derive(Debug)]
pub struct Gguf {
    parts: Vec<Part>,
    metadata: Metadata,
    tensors: Vec<Tensor>,
    index: HashMap<String, usize>,
}

/// A file of a model.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub n_bytes: usize,
}

/// A tensor of a file.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Its name in the file: `blk.0.attn_q.weight`.
    pub name: String,
    /// The format of its blocks, or of those that its weights are read as.
    pub format: &'static DynFormat,
    /// How they are stored, where that is not the format.
    pub packing: Option<Packing>,
    /// Sizes, outermost first: a matrix is `[rows = out features, cols = in features]`, stacked
    /// experts are `[n_experts, rows, cols]`.
    pub shape: Vec<usize>,
    /// The file that holds it, an index into [`Gguf::parts`].
    pub part_idx: usize,
    /// Where in that file it begins.
    pub offset: u64,
    /// The blocks, row after row.
    pub bytes: Bytes,
}

impl Tensor {
    /// Number of weights.
    pub fn n_weights(&self) -> usize {
        self.shape.iter().product()
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        self.packing.map_or(self.format.name, Packing::name)
    }
}

impl Gguf {
    /// Maps a file, and where it is part of a split model, all other parts.
    ///
    /// # Errors
    /// Whatever is wrong with a file or between the parts; see [`Problem`].
    pub fn open(path: &Path) -> Result<Gguf, GgufError> {
        let file = File::open(path)?;
        match split::Numbering::of(&file)? {
            Some(numbering) => split::open_all(file, numbering),
            None => Gguf::of_files(vec![file]),
        }
    }

    /// Reads a whole file in memory; `name` stands for its path in messages.
    ///
    /// # Errors
    /// As [`Self::open`]; a part of a split model is refused.
    pub fn from_bytes(name: &str, bytes: Bytes) -> Result<Gguf, GgufError> {
        let file = File::parse(Path::new(name), bytes)?;
        match split::Numbering::of(&file)? {
            Some(_) => Err(Problem::Split(
                "is one part of a split model, and only whole models can be read from memory; open it as a file".into(),
            )
            .at(&file.part.path)),
            None => Gguf::of_files(vec![file]),
        }
    }

    /// The metadata of the first file, the tensors of all.
    fn of_files(files: Vec<File>) -> Result<Gguf, GgufError> {
        let mut gguf = Gguf {
            parts: Vec::new(),
            metadata: Metadata::new(),
            tensors: Vec::new(),
            index: HashMap::new(),
        };
        for file in files {
            if gguf.parts.is_empty() {
                gguf.metadata = file.metadata;
            }
            for mut tensor in file.tensors {
                tensor.part_idx = gguf.parts.len();
                let idx = gguf.tensors.len();
                if gguf.index.insert(tensor.name.clone(), idx).is_some() {
                    let item = format!("tensors {}, one of them in another part", tensor.name);
                    return Err(Problem::Duplicate { item }.at(&file.part.path));
                }
                gguf.tensors.push(tensor);
            }
            gguf.parts.push(file.part);
        }
        Ok(gguf)
    }

    /// The file, or the first part: for messages.
    pub fn path(&self) -> &Path {
        &self.parts[0].path
    }

    /// The files it is made of, at least one.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The metadata; of a split model, the first part's.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Bytes of all tensors.
    pub fn n_tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes.len() as u64).sum()
    }

    /// The tensors, in file order.
    pub fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter()
    }

    /// The tensor with this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.index.get(name).map(|&idx| &self.tensors[idx])
    }
}

/// One file, read on its own.
struct File {
    part: Part,
    metadata: Metadata,
    tensors: Vec<Tensor>,
}

impl File {
    fn open(path: &Path) -> Result<File, GgufError> {
        let metadata = fs::metadata(path).map_err(|error| Problem::Read(error).at(path))?;
        if !metadata.is_file() {
            return Err(Problem::NotAFile(kind_of(&metadata)).at(path));
        }
        let bytes = Bytes::map(path).map_err(|error| Problem::Read(error).at(path))?;
        File::parse(path, bytes).map_err(|GgufError { path, problem }| {
            let problem = piece::explained(&path, *problem);
            problem.at(&path)
        })
    }

    fn parse(path: &Path, bytes: Bytes) -> Result<File, GgufError> {
        let parse = || {
            let header = header::scan(&bytes)?;
            let values = decode::values(&header.entries)?;
            let tensors = validate::tensors(&bytes, &header, &values)?;
            Ok((values, tensors))
        };
        let (values, tensors) = parse().map_err(|problem: Problem| problem.at(path))?;
        let part = Part { path: path.to_path_buf(), n_bytes: bytes.len() };
        Ok(File { part, metadata: Metadata::of_file(path, values), tensors })
    }
}
