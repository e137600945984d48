//! The values of keys, from the bytes that [`super::header`] has scanned.
//!
//! Numbers and truth values come straight from the bytes: that is exact, and keeps types, NaN and
//! infinities. Text (vocabularies, merges, templates) is decoded by `gguf-rs`. That decoder allocates
//! what a length says, panics on some types of tensors, and gives JSON, in which numbers have no
//! types. It therefore sees scanned entries of text alone, under a header that promises just them
//! and no tensor. It also brings some forty packages for its own command line, so it is a feature:
//! without it text comes straight from the bytes too, and a test holds that it is the same.

use super::error::Problem;
use super::header::Entry;
use super::value::{Array, Kind, Value};

/// The keys and their values, in file order.
pub(super) fn values(entries: &[Entry<'_>]) -> Result<Vec<(String, Value)>, Problem> {
    #[cfg(feature = "gguf-rs")]
    let text = with_gguf_rs::texts(entries)?;
    #[cfg(not(feature = "gguf-rs"))]
    let text = scanned_text;
    let value = |entry: &Entry<'_>| {
        let value = match entry.kind {
            Kind::String => text(entry),
            _ => fixed_size(entry),
        };
        value.map(|value| (entry.key.to_string(), value))
    };
    let values = entries.iter().map(|entry| {
        value(entry).ok_or_else(|| Problem::Decode(format!("the value of {}", entry.key)))
    });
    values.collect()
}

/// Text by `gguf-rs`.
#[cfg(feature = "gguf-rs")]
mod with_gguf_rs {
    use super::{Array, Entry, Kind, Problem, Value};
    use gguf_rs::{ByteOrder, GGUFContainer};
    use serde_json::Value as Json;
    use std::io::Cursor;

    /// Has `gguf-rs` decode the entries whose values are text, and returns what finds the value of each.
    pub fn texts(entries: &[Entry<'_>]) -> Result<impl Fn(&Entry<'_>) -> Option<Value>, Problem> {
        let texts = || entries.iter().filter(|entry| entry.kind == Kind::String);
        let (version, n_tensors, n_keys) = (3u32, 0u64, texts().count() as u64);
        let mut header = version.to_le_bytes().to_vec();
        header.extend(n_tensors.to_le_bytes());
        header.extend(n_keys.to_le_bytes());
        texts().for_each(|entry| header.extend(entry.whole));
        let mut container =
            GGUFContainer::new(ByteOrder::LE, Box::new(Cursor::new(header)), u64::MAX);
        let model = container.decode().map_err(|error| Problem::Decode(error.to_string()))?;
        Ok(move |entry: &Entry<'_>| text(model.metadata().get(entry.key)?, entry.is_array))
    }

    /// A string or an array of strings; `None` if it is something else.
    fn text(json: &Json, is_array: bool) -> Option<Value> {
        let text = |json: &Json| json.as_str().map(str::to_string);
        match json {
            Json::Array(elements) if is_array => {
                let texts: Option<Vec<_>> = elements.iter().map(text).collect();
                texts.map(|texts| Value::Array(Array::String(texts)))
            }
            json if !is_array => text(json).map(Value::String),
            _ => None,
        }
    }
}

/// The texts of an entry, straight from the scanned bytes: each is its length and that many bytes.
#[cfg(any(test, not(feature = "gguf-rs")))]
fn scanned_text(entry: &Entry<'_>) -> Option<Value> {
    let mut left = entry.bytes;
    let mut texts = std::iter::from_fn(|| {
        let n_bytes = u64::from_le_bytes(*left.split_off(..8)?.first_chunk()?);
        let text = left.split_off(..usize::try_from(n_bytes).ok()?)?;
        str::from_utf8(text).ok().map(str::to_owned)
    });
    match entry.is_array {
        true => Some(Value::Array(Array::String(texts.collect()))),
        false => texts.next().map(Value::String),
    }
}

/// A value, or an array of values, of a type whose size is fixed.
fn fixed_size(entry: &Entry<'_>) -> Option<Value> {
    macro_rules! of_kind {
        ($name:ident, $from_bytes:expr) => {{
            let mut values = entry.bytes.as_chunks().0.iter().copied().map($from_bytes);
            match entry.is_array {
                true => Value::Array(Array::$name(values.collect())),
                false => Value::$name(values.next()?),
            }
        }};
    }
    Some(match entry.kind {
        Kind::U8 => of_kind!(U8, u8::from_le_bytes),
        Kind::I8 => of_kind!(I8, i8::from_le_bytes),
        Kind::U16 => of_kind!(U16, u16::from_le_bytes),
        Kind::I16 => of_kind!(I16, i16::from_le_bytes),
        Kind::U32 => of_kind!(U32, u32::from_le_bytes),
        Kind::I32 => of_kind!(I32, i32::from_le_bytes),
        Kind::U64 => of_kind!(U64, u64::from_le_bytes),
        Kind::I64 => of_kind!(I64, i64::from_le_bytes),
        Kind::F32 => of_kind!(F32, f32::from_le_bytes),
        Kind::F64 => of_kind!(F64, f64::from_le_bytes),
        Kind::Bool => of_kind!(Bool, |[byte]: [u8; 1]| byte != 0),
        Kind::String => return None,
    })
}

#[cfg(all(test, feature = "gguf-rs"))]
mod tests {
    use super::*;
    use crate::gguf::{Metadata, Writer, header};

    #[test]
    fn texts_are_the_same_with_and_without_gguf_rs() {
        let mut metadata = Metadata::new();
        let words = ["", "▁", "two\nlines", "\u{1F600}\0"].map(String::from).to_vec();
        metadata.set("a.words", Value::Array(Array::String(words)));
        metadata.set("a.none", Value::Array(Array::String(vec![])));
        metadata.set("a.number", Value::U32(7));
        metadata.set("a.text", Value::String("\"quoted\" \\ ".into()));
        let file = Writer::new(Vec::new(), &metadata, vec![]).unwrap().finish().unwrap();
        let entries = header::scan(&file).unwrap().entries;
        let by_gguf_rs = with_gguf_rs::texts(&entries).unwrap();
        let texts: Vec<_> = entries.iter().filter(|entry| entry.kind == Kind::String).collect();
        assert_eq!(texts.len(), 3);
        for entry in texts {
            assert_eq!(by_gguf_rs(entry), scanned_text(entry), "{}", entry.key);
        }
    }
}
