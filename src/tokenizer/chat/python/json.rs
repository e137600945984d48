//! JSON as Python writes it.

use super::super::limits::Limits;
use super::{float, raised};
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, Value};
use std::fmt::Write;

/// Widest indentation, in spaces.
const MAX_INDENT: usize = 8;

/// How `json.dumps` is to write.
struct Style<'a> {
    limits: &'a Limits,
    is_ascii: bool,
    indent: Option<String>,
    between_items: String,
    behind_key: String,
    sorts_keys: bool,
}

/// The filter `tojson`, with the options that transformers gives it.
pub(in super::super) fn tojson(
    limits: &Limits,
    value: &Value,
    options: Kwargs,
) -> Result<String, Error> {
    let indent: Option<Value> = options.get("indent")?;
    let indent = match indent.filter(|indent| !indent.is_none()) {
        None => None,
        Some(indent) => Some(match (indent.as_str(), indent.as_i64()) {
            (Some(text), _) if text.len() <= MAX_INDENT => text.to_owned(),
            (_, Some(width)) => " ".repeat(usize::try_from(width).unwrap_or(0).min(MAX_INDENT)),
            _ => return Err(raised("indent is a width, or a short text")),
        }),
    };
    let separators: Option<Value> = options.get("separators")?;
    let (between_items, behind_key) = match separators.filter(|separators| !separators.is_none()) {
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
        Some(separators) => {
            let texts: Option<Vec<String>> =
                separators.try_iter()?.map(|text| text.as_str().map(str::to_owned)).collect();
            match texts.as_deref() {
                Some([items, key]) if items.len() + key.len() <= MAX_INDENT => {
                    (items.clone(), key.clone())
                }
                _ => return Err(raised("separators are two short texts")),
            }
        }
    };
    let style = Style {
        limits,
        is_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        indent,
        between_items,
        behind_key,
        sorts_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    options.assert_all_used()?;
    let mut json = String::new();
    style.write(value, 0, &mut json)?;
    Ok(json)
}

impl Style<'_> {
    fn write(&self, value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
        match value.kind() {
            ValueKind::String => self.write_text(value.as_str().unwrap_or_default(), out),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.write_all('[', ']', &items, depth, out, |item, out| {
                    self.write(item, depth + 1, out)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorts_keys {
                    keys.sort();
                }
                self.write_all('{', '}', &keys, depth, out, |key, out| {
                    let text = key.as_str().map(str::to_owned).or_else(|| bare(key));
                    let kind = key.kind();
                    let text = text.ok_or_else(|| raised(format!("{kind} is no key in JSON")))?;
                    self.write_text(&text, out);
                    out.push_str(&self.behind_key);
                    self.write(&value.get_item(key)?, depth + 1, out)
                })?;
            }
            kind => match bare(value) {
                Some(bare) => out.push_str(&bare),
                None => return Err(raised(format!("{kind} has no form in JSON"))),
            },
        }
        Ok(())
    }

    fn write_all(
        &self,
        open: char,
        close: char,
        all: &[Value],
        depth: usize,
        out: &mut String,
        write: impl Fn(&Value, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        out.push(open);
        for (idx, item) in all.iter().enumerate() {
            out.push_str(if idx == 0 { "" } else { &self.between_items });
            self.begin_line(depth + 1, out);
            write(item, out)?;
            self.limits.allow(out.len())?;
        }
        if !all.is_empty() {
            self.begin_line(depth, out);
        }
        out.push(close);
        Ok(())
    }

    fn begin_line(&self, depth: usize, out: &mut String) {
        if let Some(indent) = &self.indent {
            out.push('\n');
            out.extend((0..depth).map(|_| indent.as_str()));
        }
    }

    fn write_text(&self, text: &str, out: &mut String) {
        out.push('"');
        for c in text.chars() {
            let written = match c {
                '"' | '\\' => write!(out, "\\{c}"),
                '\n' => write!(out, "\\n"),
                '\r' => write!(out, "\\r"),
                '\t' => write!(out, "\\t"),
                '\u{8}' => write!(out, "\\b"),
                '\u{c}' => write!(out, "\\f"),
                c if c < ' ' || (self.is_ascii && c > '~') => {
                    let units = &mut [0; 2];
                    c.encode_utf16(units).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))
                }
                c => write!(out, "{c}"),
            };
            written.expect("a text takes everything");
        }
        out.push('"');
    }
}

/// What needs no quotes: none, truth values and numbers.
fn bare(value: &Value) -> Option<String> {
    match value.kind() {
        ValueKind::None => Some("null".to_owned()),
        ValueKind::Bool => Some(if value.is_true() { "true" } else { "false" }.to_owned()),
        ValueKind::Number => Some(number(value)),
        _ => None,
    }
}

fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_owned(),
        Ok(number) if number.is_infinite() => {
            if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
        }
        Ok(number) if !value.is_integer() => float(number),
        _ => value.to_string(),
    }
}
