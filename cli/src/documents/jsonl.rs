//! Documents as lines of JSON.

use super::decode;
use super::error::Fault;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Names of the fields that matter.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// The one with the text.
    pub text: String,
    /// The one with the id, which all documents must have; if none is named it is `id`, and where
    /// there is none the line's number is the id.
    pub id: Option<String>,
    /// The one with the label, which all documents must have, if one is named.
    pub label: Option<String>,
}

/// A document with its id.
pub(super) struct Line {
    pub id: Option<String>,
    pub label: Option<String>,
    pub text: Result<String, Fault>,
}

/// The document on a line. Only a bad text leaves the id known.
pub(super) fn document(line: &[u8], fields: &Fields) -> Result<Line, Fault> {
    let line = str::from_utf8(line).map_err(|error| Fault::NotUtf8 { at: error.valid_up_to() })?;
    let line = line.trim_start_matches('\u{FEFF}');
    let id_field = fields.id.as_deref().unwrap_or("id");
    // Where no label is wanted, that of the id is read once more for nothing.
    let label_field = fields.label.as_deref().unwrap_or(id_field);
    let mut reader = serde_json::Deserializer::from_str(line);
    let names = [fields.text.as_str(), id_field, label_field];
    let wanted = RawFields { names, found: [None; 3] };
    let found = reader.deserialize_map(wanted).and_then(|found| reader.end().map(|()| found));
    let [text, id, label] = found.map_err(|error| Fault::Json(error.to_string()))?;
    let named = |found: Option<&RawValue>, field: &str, is_required: bool, flag| match found
        .map(|found| id_text(found.get()))
    {
        Some(Some(text)) => Ok(Some(text)),
        None if !is_required => Ok(None),
        found => Err(Fault::Field {
            field: field.into(),
            found: if found.is_none() { "has no" } else { "has something else in its" },
            expected: "a text or a number",
            flag,
        }),
    };
    let id = named(id, id_field, fields.id.is_some(), "--id-field")?;
    let label = match &fields.label {
        Some(field) => named(label, field, true, "--label-field")?,
        None => None,
    };
    let no_text = |found| Fault::Field {
        field: fields.text.clone(),
        found,
        expected: "a text",
        flag: "--text-field",
    };
    let text = match text {
        None => Err(no_text("has no")),
        Some(text) => serde_json::from_str(text.get())
            .map_err(|_| no_text("has something else in its"))
            .and_then(decode::plain),
    };
    Ok(Line { id, label, text })
}

/// An id as it is written, a text without its quotes.
fn id_text(json: &str) -> Option<String> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok(),
        b'-' | b'0'..=b'9' => Some(json.to_owned()),
        _ => None,
    }
}

/// Finds three members of an object, and passes over the others: as values, those of a long line
/// would take a hundred times its memory.
struct RawFields<'a> {
    names: [&'a str; 3],
    found: [Option<&'a RawValue>; 3],
}

impl<'de: 'a, 'a> Visitor<'de> for RawFields<'a> {
    type Value = [Option<&'a RawValue>; 3];

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        while let Some(name) = members.next_key::<String>()? {
            let matching = (0..3).filter(|&idx| self.names[idx] == name);
            let indices: Vec<usize> = matching.collect();
            if indices.is_empty() {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            let value = members.next_value::<&RawValue>()?;
            indices.into_iter().for_each(|idx| self.found[idx] = Some(value));
        }
        Ok(self.found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, text: &str, id: Option<&str>) -> Result<(Option<String>, String), Fault> {
        let fields = Fields { text: text.into(), id: id.map(Into::into), label: None };
        let line = document(line.as_bytes(), &fields)?;
        Ok((line.id, line.text?))
    }

    #[test]
    fn ids_are_texts_or_numbers() {
        let line = r#"{"more":[{"id":0}],"id":"x\n","n":12345678901234567890.50,"text":"T\u00e4"}"#;
        assert_eq!(read(line, "text", None), Ok((Some("x\n".into()), "Tä".into())));
        assert_eq!(read(&format!("\u{FEFF}{line}"), "text", None), read(line, "text", None));
        let number = Some("12345678901234567890.50".into());
        assert_eq!(read(line, "text", Some("n")), Ok((number, "Tä".into())));
        assert_eq!(read(line, "id", Some("id")), Ok((Some("x\n".into()), "x\n".into())));
        assert_eq!(read(r#"{"text":"T"}"#, "text", None), Ok((None, "T".into())));
    }

    #[test]
    fn labels_are_texts_or_numbers_and_must_be_there() {
        let fields = Fields { text: "text".into(), id: None, label: Some("kind".into()) };
        let label = |line: &str| document(line.as_bytes(), &fields).map(|line| line.label);
        assert_eq!(label(r#"{"text":"T","kind":"a b"}"#), Ok(Some("a b".into())));
        assert_eq!(label(r#"{"kind":7,"text":"T"}"#), Ok(Some("7".into())));
        for line in [r#"{"text":"T"}"#, r#"{"text":"T","kind":[]}"#] {
            let fault = label(line).unwrap_err().to_string();
            assert!(fault.contains("its field \"kind\"") || fault.contains("no field \"kind\""));
            assert!(fault.contains("--label-field"), "{fault}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let fault = |line: &str, id| read(line, "text", id).unwrap_err().to_string();
        assert!(fault(r#"{"id":1}"#, None).starts_with("has no field \"text\""));
        assert!(fault(r#"{"text":"T"}"#, Some("k")).starts_with("has no field \"k\""));
        assert!(fault(r#"{"text":7}"#, None).contains("something else in its field \"text\""));
        assert!(fault(r#"{"text":"T","id":[1]}"#, None).contains("in its field \"id\""));
        assert_eq!(fault(r#"{"text":" "}"#, None), Fault::Empty.to_string());
        for line in ["[1]", "7", "{", r#"{"text":"T"} {}"#, r#"{"text":"T",}"#] {
            assert!(fault(line, None).starts_with("is not a JSON object: "), "{line}");
        }
        for field in ["a", "text", "id"] {
            let (open, close) = ("[".repeat(1_000_000), "]".repeat(1_000_000));
            let deep = format!(r#"{{"{field}":{open}{close}}}"#);
            assert!(fault(&deep, None).contains("field"), "{field}");
            assert!(fault(&deep[..1_000_000], None).starts_with("is not a JSON object: "));
        }
    }
}
