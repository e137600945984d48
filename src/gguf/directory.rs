//! The directory of a file, its keys and tensors, decoded by `gguf-rs`.
//!
//! Its decoder believes what it reads: it allocates what a length says, and panics on some tensor
//! types. It therefore sees only headers that [`super::header`] has scanned, and no byte more.
//! Its values come as JSON, without their types and without NaN and infinities; those the scan
//! has.

use super::error::Problem;
use super::header::{Entry, Header};
use super::map::Bytes;
use super::value::{Array, Kind, Value};
use gguf_rs::{ByteOrder, GGUFContainer};
use serde_json::Value as Json;
use std::io::Cursor;

/// Keys and tensors of a file.
pub(super) struct Directory {
    /// In file order.
    pub entries: Vec<(String, Value)>,
    /// In file order.
    pub tensors: Vec<gguf_rs::Tensor>,
}

/// Decodes a scanned header at the beginning of `file`.
pub(super) fn decode(file: &Bytes, header: &Header<'_>) -> Result<Directory, Problem> {
    let after_magic = Cursor::new(file.slice(4..header.n_bytes));
    let model = GGUFContainer::new(ByteOrder::LE, Box::new(after_magic), u64::MAX)
        .decode()
        .map_err(|error| Problem::Decode(error.to_string()))?;
    let mut entries = Vec::with_capacity(header.entries.len());
    for entry in &header.entries {
        let value = model.metadata().get(entry.key).and_then(|json| typed(json, entry));
        let value = value.ok_or_else(|| Problem::Decode(format!("the value of {}", entry.key)))?;
        entries.push((entry.key.to_string(), value));
    }
    Ok(Directory { entries, tensors: model.tensors().clone() })
}

/// Gives a value its type back; `None` if it is not of that type.
fn typed(json: &Json, entry: &Entry<'_>) -> Option<Value> {
    macro_rules! of_kind {
        ($name:ident, $read:expr) => {
            match (entry.is_array, json) {
                (false, json) => Value::$name($read(0, json)?),
                (true, Json::Array(elements)) => {
                    let elements = elements.iter().enumerate();
                    let values = elements.map(|(idx, json)| $read(idx, json));
                    Value::Array(Array::$name(values.collect::<Option<Vec<_>>>()?))
                }
                _ => return None,
            }
        };
    }
    let f32_bits = |idx: usize| f32::from_le_bytes(entry.bytes.as_chunks().0[idx]);
    let f64_bits = |idx: usize| f64::from_le_bytes(entry.bytes.as_chunks().0[idx]);
    Some(match entry.kind {
        Kind::U8 => of_kind!(U8, integer),
        Kind::I8 => of_kind!(I8, integer),
        Kind::U16 => of_kind!(U16, integer),
        Kind::I16 => of_kind!(I16, integer),
        Kind::U32 => of_kind!(U32, integer),
        Kind::I32 => of_kind!(I32, integer),
        Kind::U64 => of_kind!(U64, integer),
        Kind::I64 => of_kind!(I64, integer),
        Kind::F32 => of_kind!(F32, |idx, json| float(json, || f32_bits(idx))),
        Kind::F64 => of_kind!(F64, |idx, json| float(json, || f64_bits(idx))),
        Kind::Bool => of_kind!(Bool, |_, json: &Json| json.as_bool()),
        Kind::String => of_kind!(String, |_, json: &Json| json.as_str().map(str::to_string)),
    })
}

fn integer<T: TryFrom<i128>>(_idx: usize, json: &Json) -> Option<T> {
    let unsigned = json.as_u64().map(i128::from);
    let integer = unsigned.or_else(|| json.as_i64().map(i128::from))?;
    T::try_from(integer).ok()
}

/// A float: by its decimal digits, which are exact, or by its bits where it has none.
fn float<T: std::str::FromStr>(json: &Json, bits: impl Fn() -> T) -> Option<T> {
    match json {
        Json::Null => Some(bits()),
        Json::Number(number) => number.to_string().parse().ok(),
        _ => None,
    }
}
