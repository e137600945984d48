//! What can be wrong with a GGUF.

use crate::text::printable;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a GGUF could not be used: the file, and what is wrong with it, in one line.
#[derive(Debug, Error)]
#[error("{}: {}", printable(path.display()), printable(problem))]
pub struct GgufError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub problem: Box<Problem>,
}

/// What is wrong with a GGUF.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Problem {
    /// The operating system says no.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// A folder, a pipe, a device.
    #[error("is {0}, not a file; name a GGUF file")]
    NotAFile(&'static str),
    /// Another kind of file.
    #[error("is not a GGUF file: {0}")]
    NotGguf(String),
    /// A piece of a file that was cut where it happened to be.
    #[error(
        "is a piece of a GGUF that was cut into several files, none of which works alone; {join}"
    )]
    Piece {
        /// What to do: how to put them together.
        join: String,
    },
    /// A file that is still written.
    #[error(
        "is not whole: by its name, its download (or the conversion that makes it) has not ended; let it end, or begin it again, and use the file that it becomes"
    )]
    Unfinished,
    /// The other byte order.
    #[error(
        "is a big-endian GGUF, and gatefold reads little-endian ones; convert it with gguf-convert-endian of the Python package gguf, or download the little-endian file"
    )]
    BigEndian,
    /// A version from before or after our time.
    #[error(
        "is a GGUF of version {0}, and gatefold reads versions 2 and 3; convert the model again with a current tool, or download a newer file"
    )]
    Version(u32),
    /// The file ends too early.
    #[error(
        "ends {left} bytes into {item}, which needs {needs}: the file is cut short or damaged; download it again"
    )]
    Truncated {
        /// What is cut.
        item: String,
        /// Bytes it needs.
        needs: u64,
        /// Bytes that are there.
        left: u64,
    },
    /// More of something than any model has.
    #[error(
        "has {found} {item}, and at most {most} are sensible: the file is damaged; download it again"
    )]
    TooMany {
        /// Of what.
        item: String,
        /// How many it says it has.
        found: u64,
        /// How many there may be.
        most: u64,
    },
    /// Text that is not UTF-8, or a name with control characters.
    #[error("{item} is not {wanted}: the file is damaged; download it again")]
    Text {
        /// Which text.
        item: String,
        /// What text there should be.
        wanted: &'static str,
    },
    /// Two of one name.
    #[error(
        "has two {item}: it is unclear which one counts, and the file must be made or downloaded again"
    )]
    Duplicate {
        /// `keys general.name`, `tensors output.weight`.
        item: String,
    },
    /// A value type that GGUF does not have, or an array of arrays.
    #[error(
        "key {key} has {found}, and gatefold reads GGUF's value types 0 to 12 and arrays of them, not arrays of arrays; download the file again"
    )]
    ValueType {
        /// Whose value.
        key: String,
        /// What its type is.
        found: String,
    },
    /// A truth value besides 0 and 1.
    #[error(
        "key {key} holds the truth value {found}, which is neither 0 nor 1; download the file again"
    )]
    Bool {
        /// Whose value.
        key: String,
        /// Its byte.
        found: u8,
    },
    /// The header decodes to something else than what was scanned.
    #[error("its header cannot be decoded: {0}; download it again")]
    Decode(String),
    /// A tensor whose sizes make no sense.
    #[error(
        "tensor {tensor} has the shape {shape:?}: {wrong}; the file is damaged, download it again"
    )]
    Shape {
        /// Which tensor.
        tensor: String,
        /// Its shape, outermost first.
        shape: Vec<u64>,
        /// What is wrong with it.
        wrong: String,
    },
    /// A block format that there are no kernels for.
    #[error(
        "tensor {tensor} is {found}, which gatefold does not run; it runs {}: make or download the model in one of these",
        formats()
    )]
    Format {
        /// Which tensor.
        tensor: String,
        /// Its format.
        found: String,
    },
    /// An alignment that cannot be.
    #[error(
        "general.alignment is {found}, which is not a power of two from 8 to 65536; the file is damaged, download it again"
    )]
    Alignment {
        /// The value.
        found: String,
    },
    /// A tensor that does not begin where tensors may.
    #[error(
        "tensor {tensor} begins at offset {offset}, which is not a multiple of the alignment {alignment}; the file is damaged, download it again"
    )]
    Misaligned {
        /// Which tensor.
        tensor: String,
        /// Where it begins in the data section.
        offset: u64,
        /// Where it may begin.
        alignment: u64,
    },
    /// A tensor with bytes that the file does not have.
    #[error(
        "tensor {tensor} needs {size} bytes from byte {start} on, and the file has {file_bytes} bytes: it is cut short or damaged; download it again"
    )]
    PastEnd {
        /// Which tensor.
        tensor: String,
        /// Where it begins in the file.
        start: u64,
        /// Its size.
        size: u64,
        /// The file's size.
        file_bytes: u64,
    },
    /// Two tensors with common bytes.
    #[error("tensors {first} and {second} overlap: the file is damaged; make or download it again")]
    Overlap {
        /// The one that begins first.
        first: String,
        /// The other.
        second: String,
    },
    /// A key that must be there.
    #[error(
        "has no key {key}: the file is not a complete model, or one of another kind; convert it again with a current tool"
    )]
    MissingKey {
        /// Which.
        key: String,
    },
    /// A value of the wrong type.
    #[error(
        "key {key} is {found}, and {wanted} was expected; convert the model again with a current tool"
    )]
    MistypedKey {
        /// Which.
        key: String,
        /// What it is.
        found: String,
        /// What it should be.
        wanted: &'static str,
    },
    /// Parts of a split file that do not belong together.
    #[error("{0}")]
    Split(String),
}

impl Problem {
    pub(super) fn at(self, path: &Path) -> GgufError {
        GgufError { path: path.to_path_buf(), problem: Box::new(self) }
    }
}

fn formats() -> String {
    let names: Vec<&str> = gatefold_quant::FORMATS.iter().map(|format| format.name).collect();
    names.join(", ")
}
