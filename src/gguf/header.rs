//! The structure of a GGUF's header, scanned before anything is decoded.
//!
//! Whatever the file claims, the scan allocates no more than a few words per key and tensor that
//! is really there, and ends in time proportional to the header. What passes is safe to decode:
//! every count and length lies within the file, every name is a name, every type is known.

use super::error::Problem;
use super::formats;
use super::packing::Packing;
use super::value::{ARRAY, Kind};
use gatefold_quant::DynFormat;
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

/// Bytes of the largest header read. A vocabulary of a quarter million tokens takes 12 MB.
const MOST_HEADER_BYTES: usize = 64 << 20;
/// Keys; models have some fifty.
const MOST_KEYS: u64 = 1 << 16;
/// Tensors; models with an expert per tensor have some tens of thousands.
const MOST_TENSORS: u64 = 1 << 18;
/// Elements of all arrays together, each of which takes some 60 bytes while it is decoded.
const MOST_ELEMENTS: u64 = 1 << 22;
/// Weights per tensor: beyond all models, and so few that sums over tensors cannot overflow.
const MOST_WEIGHTS: u64 = 1 << 44;
const MOST_KEY_BYTES: u64 = 65535;
const MOST_NAME_BYTES: u64 = 64;
const MOST_DIMENSIONS: u64 = 4;

/// What the scan found.
pub(super) struct Header<'a> {
    /// The keys, in file order.
    pub entries: Vec<Entry<'a>>,
    /// The tensors, in file order.
    pub tensors: Vec<TensorEntry<'a>>,
    /// Bytes of the header, from the magic to the last tensor's offset.
    pub n_bytes: usize,
}

/// A key and where its value is.
pub(super) struct Entry<'a> {
    pub key: &'a str,
    /// The type of the value, or of its elements.
    pub kind: Kind,
    pub is_array: bool,
    /// The bytes of the value, or of its elements.
    pub bytes: &'a [u8],
    /// The bytes of the entry, from the key's length to the end of the value.
    pub whole: &'a [u8],
}

/// A tensor, as the header describes it.
pub(super) struct TensorEntry<'a> {
    pub name: &'a str,
    pub format: &'static DynFormat,
    pub packing: Option<Packing>,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Where it is said to begin in the data section.
    pub offset: u64,
    /// Its size by format and shape.
    pub n_bytes: u64,
}

/// Checks the header at the beginning of `file`.
pub(super) fn scan(file: &[u8]) -> Result<Header<'_>, Problem> {
    check_magic(file)?;
    let mut scan = Scan { bytes: &file[..file.len().min(MOST_HEADER_BYTES)], at: 4, n_elements: 0 };
    check_version(scan.u32(Place::Beginning)?)?;
    let n_tensors = scan.count(Place::Beginning, "tensors", MOST_TENSORS)?;
    let n_keys = scan.count(Place::Beginning, "keys", MOST_KEYS)?;

    let result = scan.body(n_keys, n_tensors);
    match result {
        Ok((entries, tensors)) => Ok(Header { entries, tensors, n_bytes: scan.at }),
        Err(Problem::Truncated { .. }) if file.len() > MOST_HEADER_BYTES => Err(Problem::TooMany {
            item: "bytes of header or more".into(),
            found: MOST_HEADER_BYTES as u64 + 1,
            most: MOST_HEADER_BYTES as u64,
        }),
        Err(problem) => Err(problem),
    }
}

fn check_magic(file: &[u8]) -> Result<(), Problem> {
    let wrong = |what: &str| Err(Problem::NotGguf(what.into()));
    match file {
        [] => wrong("it is empty"),
        [b'G', b'G', b'U', b'F', ..] => Ok(()),
        [b'F', b'U', b'G', b'G', ..] => Err(Problem::BigEndian),
        [b'l' | b't' | b'f' | b'a', b'j' | b'm' | b'l', b'g', b'g', ..] => {
            wrong("it is in a ggml format older than GGUF; convert or download the model again")
        }
        _ => wrong(other_kind(file)),
    }
}

/// What a file is that does not begin as a GGUF does.
fn other_kind(file: &[u8]) -> &'static str {
    /// The length of its header, then the header.
    const SAFETENSORS: Range<usize> = 8..10;
    match file {
        _ if file.starts_with(b"version https://git-lfs") => {
            "it is the Git LFS pointer to one; fetch the file itself with `git lfs pull`"
        }
        _ if file.trim_ascii_start().starts_with(b"<") => {
            "it looks like a web page; use the download link of the file itself"
        }
        _ if file.get(SAFETENSORS) == Some(b"{\"") => {
            "it is a safetensors file; convert the folder that it came in with gatefold quantize"
        }
        [b'P', b'K', 3, 4, ..] => {
            "it is a zip archive; unpack it, or if it is a PyTorch file, convert the folder that it came in with gatefold quantize"
        }
        [0x80, 2..=5, ..] => {
            "it is a PyTorch file; convert the folder that it came in with gatefold quantize"
        }
        [0x1F, 0x8B, ..]
        | [0xFD, b'7', b'z', b'X', b'Z', ..]
        | [0x28, 0xB5, 0x2F, 0xFD, ..]
        | [b'7', b'z', 0xBC, 0xAF, ..] => "it is compressed; unpack it",
        [0, 0, 0, 0, ..] => {
            "it begins with zeros, as a download does that has not ended; download it again"
        }
        _ => "it does not begin with the letters GGUF; name a GGUF file",
    }
}

fn check_version(version: u32) -> Result<(), Problem> {
    match version {
        2 | 3 => Ok(()),
        _ if version != 0 && version.swap_bytes() <= 0xff => Err(Problem::BigEndian),
        _ => Err(Problem::Version(version)),
    }
}

/// Where in the header the scan is, for messages.
#[derive(Clone, Copy)]
enum Place<'a> {
    Beginning,
    Key(u64),
    Value(&'a str),
    TensorName(u64),
    Tensor(&'a str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Beginning => write!(f, "the header"),
            Place::Key(idx) => write!(f, "the name of key {idx}"),
            Place::Value(key) => write!(f, "the value of key {key}"),
            Place::TensorName(idx) => write!(f, "the name of tensor {idx}"),
            Place::Tensor(name) => write!(f, "the entry of tensor {name}"),
        }
    }
}

/// The keys and the tensors of a header.
type Body<'a> = (Vec<Entry<'a>>, Vec<TensorEntry<'a>>);

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    n_elements: u64,
}

impl<'a> Scan<'a> {
    fn body(&mut self, n_keys: u64, n_tensors: u64) -> Result<Body<'a>, Problem> {
        let mut entries = Vec::new();
        let mut keys = HashSet::new();
        for idx in 0..n_keys {
            let entry = self.entry(idx)?;
            if !keys.insert(entry.key) {
                return Err(Problem::Duplicate { item: format!("keys {}", entry.key) });
            }
            entries.push(entry);
        }
        let mut tensors = Vec::new();
        let mut names = HashSet::new();
        for idx in 0..n_tensors {
            let tensor = self.tensor(idx)?;
            if !names.insert(tensor.name) {
                return Err(Problem::Duplicate { item: format!("tensors {}", tensor.name) });
            }
            tensors.push(tensor);
        }
        Ok((entries, tensors))
    }

    fn entry(&mut self, idx: u64) -> Result<Entry<'a>, Problem> {
        let start = self.at;
        let key = self.name(Place::Key(idx), MOST_KEY_BYTES)?;
        let place = Place::Value(key);
        let unknown = |found: String| Problem::ValueType { key: key.into(), found };
        let number = self.u32(place)?;
        if number != ARRAY {
            let kind = Kind::by_number(number)
                .ok_or_else(|| unknown(format!("a value of type {number}")))?;
            let bytes = self.values(key, kind, 1)?;
            let whole = &self.bytes[start..self.at];
            return Ok(Entry { key, kind, is_array: false, bytes, whole });
        }
        let number = self.u32(place)?;
        let kind = Kind::by_number(number).ok_or_else(|| match number {
            ARRAY => unknown("an array of arrays".into()),
            _ => unknown(format!("an array of values of type {number}")),
        })?;
        let n_elements = self.count(place, "array elements", MOST_ELEMENTS - self.n_elements)?;
        self.n_elements += n_elements;
        let bytes = self.values(key, kind, n_elements)?;
        let whole = &self.bytes[start..self.at];
        Ok(Entry { key, kind, is_array: true, bytes, whole })
    }

    /// Some values in a row.
    fn values(&mut self, key: &'a str, kind: Kind, n_values: u64) -> Result<&'a [u8], Problem> {
        let place = Place::Value(key);
        let start = self.at;
        match kind.n_bytes() {
            Some(n_bytes) => {
                self.take(place, n_values * n_bytes as u64)?;
            }
            None => {
                for _ in 0..n_values {
                    self.string(place)?;
                }
            }
        }
        let bytes = &self.bytes[start..self.at];
        let truth = if kind == Kind::Bool { bytes } else { &[] };
        match truth.iter().find(|&&byte| byte > 1) {
            Some(&found) => Err(Problem::Bool { key: key.into(), found }),
            None => Ok(bytes),
        }
    }

    /// The entry of a tensor: its name is unique among those before, its format known and its
    /// shape one that the format can have.
    fn tensor(&mut self, idx: u64) -> Result<TensorEntry<'a>, Problem> {
        let name = self.name(Place::TensorName(idx), MOST_NAME_BYTES)?;
        let place = Place::Tensor(name);
        let n_dimensions = self.u32(place)?.into();
        if n_dimensions > MOST_DIMENSIONS {
            let item = format!("dimensions of tensor {name}");
            return Err(Problem::TooMany { item, found: n_dimensions, most: MOST_DIMENSIONS });
        }
        let mut shape = Vec::new();
        for _ in 0..n_dimensions {
            shape.insert(0, self.u64(place)?);
        }
        let number = self.u32(place)?;
        let packing = Packing::by_gguf_type(number);
        let format = packing.map(Packing::format).or_else(|| DynFormat::by_gguf_type(number));
        let format = format
            .ok_or_else(|| Problem::Format { tensor: name.into(), found: formats::name(number) })?;
        let offset = self.u64(place)?;
        let mut n_bytes = check_shape(name, format, &shape)?;
        if let Some(packing) = packing {
            n_bytes = n_bytes / format.block_bytes as u64 * packing.block_bytes() as u64;
            let n_rows = shape.iter().rev().nth(1).copied().unwrap_or(1);
            if !n_rows.is_multiple_of(packing.n_rows() as u64) {
                let wrong = format!("rows of {} come by {}", packing.name(), packing.n_rows());
                return Err(Problem::Shape { tensor: name.into(), shape, wrong });
            }
        }
        let shape = shape.into_iter().map(|size| size as usize).collect();
        Ok(TensorEntry { name, format, packing, shape, offset, n_bytes })
    }

    /// A string that serves as a name: its length limited, without control characters.
    fn name(&mut self, place: Place<'_>, most: u64) -> Result<&'a str, Problem> {
        let n_bytes = self.count(place, "bytes", most)?;
        let name = self.text(place, n_bytes)?;
        check_printable(name, place)?;
        Ok(name)
    }

    fn string(&mut self, place: Place<'_>) -> Result<&'a str, Problem> {
        let n_bytes = self.u64(place)?;
        self.text(place, n_bytes)
    }

    fn text(&mut self, place: Place<'_>, n_bytes: u64) -> Result<&'a str, Problem> {
        let bytes = self.take(place, n_bytes)?;
        str::from_utf8(bytes)
            .map_err(|_| Problem::Text { item: place.to_string(), wanted: "valid UTF-8" })
    }

    fn count(&mut self, place: Place<'_>, of: &str, most: u64) -> Result<u64, Problem> {
        let found = self.u64(place)?;
        if found > most {
            return Err(Problem::TooMany { item: format!("{of} in {place}"), found, most });
        }
        Ok(found)
    }

    fn u32(&mut self, place: Place<'_>) -> Result<u32, Problem> {
        let bytes = self.take(place, 4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("4 bytes were taken")))
    }

    fn u64(&mut self, place: Place<'_>) -> Result<u64, Problem> {
        let bytes = self.take(place, 8)?;
        Ok(u64::from_le_bytes(bytes.try_into().expect("8 bytes were taken")))
    }

    fn take(&mut self, place: Place<'_>, needs: u64) -> Result<&'a [u8], Problem> {
        let left = &self.bytes[self.at..];
        let taken = usize::try_from(needs).ok().and_then(|needs| left.get(..needs));
        let taken = taken.ok_or_else(|| Problem::Truncated {
            item: place.to_string(),
            needs,
            left: left.len() as u64,
        })?;
        self.at += taken.len();
        Ok(taken)
    }
}

/// Checks that a key can have this name.
pub(super) fn check_key(key: &str) -> Result<(), Problem> {
    check_length(key, "key", MOST_KEY_BYTES)?;
    check_printable(key, Place::Value(key))
}

/// Checks that a tensor can have this name.
pub(super) fn check_name(name: &str) -> Result<(), Problem> {
    check_length(name, "tensor", MOST_NAME_BYTES)?;
    check_printable(name, Place::Tensor(name))
}

fn check_length(name: &str, of: &str, most: u64) -> Result<(), Problem> {
    let found = name.len() as u64;
    if found > most {
        let item = format!("bytes in the name of {of} {name}");
        return Err(Problem::TooMany { item, found, most });
    }
    Ok(())
}

/// Names appear in messages of one line.
fn check_printable(name: &str, place: Place<'_>) -> Result<(), Problem> {
    if name.is_empty() || name.contains(char::is_control) {
        let wanted = "a name of printable characters";
        return Err(Problem::Text { item: place.to_string(), wanted });
    }
    Ok(())
}

/// Checks that a tensor of `format` can have this shape (outermost first), and returns its bytes.
pub(super) fn check_shape(name: &str, format: &DynFormat, shape: &[u64]) -> Result<u64, Problem> {
    let wrong =
        |wrong: String| Err(Problem::Shape { tensor: name.into(), shape: shape.into(), wrong });
    let Some((&cols, rows)) = shape.split_last() else {
        return wrong("a tensor has one dimension at least".into());
    };
    if shape.len() as u64 > MOST_DIMENSIONS {
        return wrong(format!("a tensor has at most {MOST_DIMENSIONS} dimensions"));
    }
    if shape.contains(&0) {
        return wrong("no dimension can be 0".into());
    }
    let n_weights = shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size));
    if n_weights.is_none_or(|n_weights| n_weights > MOST_WEIGHTS) {
        return wrong(format!("more than {MOST_WEIGHTS} weights are in no model"));
    }
    let row_bytes = usize::try_from(cols).ok().and_then(|cols| format.row_bytes(cols));
    let Some(row_bytes) = row_bytes else {
        return wrong(format!("rows of {format} are a multiple of {} weights", format.block_len));
    };
    Ok(row_bytes as u64 * rows.iter().product::<u64>())
}
