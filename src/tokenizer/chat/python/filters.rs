//! Filters that Jinja2 has otherwise than the engine, or it alone.

use super::super::limits::Limits;
use super::methods::{justified, title};
use super::number::Number;
use super::{raised, text};
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, Value};

/// Puts them into the place of the engine's, but for [`indent`], [`join`] and [`replace`]: what these
/// make has to be foreseen.
pub(in super::super) fn add(environment: &mut Environment, limits: &Limits) {
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("float", float);
    environment.add_filter("int", int);
    environment.add_filter("round", round);
    environment.add_filter("string", text);
    for name in ["length", "count"] {
        environment.add_filter(name, length);
    }
    environment.add_filter("first", |value: &Value| picked(items(value)?.next()));
    environment.add_filter("last", |value: &Value| picked(items(value)?.last()));
    let ends_word = |c: char| c.is_whitespace() || "-({[<".contains(c);
    environment.add_filter("title", move |value: &Value| title(&text(value), ends_word));
    environment.add_filter("capitalize", capitalize);
    environment.add_filter("lower", |value: &Value| text(value).to_lowercase());
    environment.add_filter("upper", |value: &Value| text(value).to_uppercase());
    environment.add_filter("trim", trim);
    environment.add_filter("wordcount", |value: &Value| n_words(&text(value)));
    let limits = limits.clone();
    environment.add_filter("center", move |value: &Value, width: Option<i64>| {
        justified(&limits, &text(value), "center", &[width.unwrap_or(80).into()])
    });
}

/// The items, or an attribute of each, with a text between them.
pub(in super::super) fn join(
    value: &Value,
    between: Option<&Value>,
    options: Kwargs,
) -> Result<String, Error> {
    let between = between.cloned().or(options.get("d")?);
    let attribute: Option<&str> = options.get("attribute")?;
    options.assert_all_used()?;
    let between = between.as_ref().map(text).unwrap_or_default();
    let mut joined = String::new();
    for (idx, item) in value.try_iter()?.enumerate() {
        joined.push_str(if idx == 0 { "" } else { &between });
        let parts = attribute.into_iter().flat_map(|attribute| attribute.split('.'));
        let item = parts.into_iter().try_fold(item, |item, part| match part.parse() {
            Ok(idx) => item.get_item_by_index(idx),
            Err(_) => item.get_attr(part),
        })?;
        joined.push_str(&text(&item));
    }
    Ok(joined)
}

/// The lines of a text behind so many blanks, or behind a text: all but the first and those that are
/// blank, unless these are wanted too.
pub(in super::super) fn indent(
    value: &Value,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    options: Kwargs,
) -> Result<String, Error> {
    let width = width.or(options.get("width")?);
    let first = first.or(options.get("first")?).unwrap_or(false);
    let blank = blank.or(options.get("blank")?).unwrap_or(false);
    options.assert_all_used()?;
    let before = match width.as_ref().and_then(Value::as_str) {
        Some(before) => before.to_owned(),
        None => " ".repeat(width.and_then(|width| width.as_usize()).unwrap_or(4)),
    };
    let mut indented = String::new();
    for (idx, line) in text(value).split('\n').enumerate() {
        indented.push_str(if idx == 0 { "" } else { "\n" });
        if if idx == 0 { first } else { blank || !line.is_empty() } {
            indented.push_str(&before);
        }
        indented.push_str(line);
    }
    Ok(indented)
}

/// How many characters or items there are; none of what is undefined.
fn length(value: &Value) -> Result<usize, Error> {
    if value.is_undefined() {
        return Ok(0);
    }
    value.len().ok_or_else(|| raised(format!("there is no length of {}", value.kind())))
}

/// What is there, else undefined.
fn picked(item: Option<Value>) -> Result<Value, Error> {
    Ok(item.unwrap_or(Value::UNDEFINED))
}

/// The characters, items or keys.
fn items(value: &Value) -> Result<impl Iterator<Item = Value>, Error> {
    if value.is_none() {
        return Err(raised("there are no items of none"));
    }
    value.try_iter()
}

/// Replaces a text by another, everywhere or so many times.
pub(in super::super) fn replace(
    value: &Value,
    old: &Value,
    new: &Value,
    count: Option<i64>,
) -> String {
    let (value, old, new) = (text(value), text(old), text(new));
    match count.and_then(|count| usize::try_from(count).ok()) {
        Some(count) => value.replacen(&old, &new, count),
        None => value.replace(&old, &new),
    }
}

/// The text with what HTML would read otherwise put in its way.
fn escape(value: &Value) -> String {
    let text = text(value).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('\'', "&#39;").replace('"', "&#34;")
}

/// The first character in upper case, the rest in lower case.
fn capitalize(value: &Value) -> String {
    let text = text(value);
    let mut chars = text.chars();
    let first = chars.next().into_iter().flat_map(char::to_uppercase);
    first.chain(chars.as_str().to_lowercase().chars()).collect()
}

/// Without blanks, or these characters, at both ends.
fn trim(value: &Value, chars: Option<&str>) -> String {
    let text = text(value);
    match chars {
        Some(chars) => text.trim_matches(|c| chars.contains(c)).to_owned(),
        None => text.trim().to_owned(),
    }
}

fn n_words(text: &str) -> usize {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).count()
}

/// An integer, or what stands in for one.
fn int(value: &Value, default: Option<Value>) -> Value {
    let number = match value.as_str() {
        Some(text) => text.trim().parse().map(Number::Int).ok().or_else(|| float_of(text)),
        None => Number::of(value),
    };
    match number {
        Some(Number::Int(int)) => int.into(),
        Some(Number::Float(float)) if float.is_finite() => (float as i128).into(),
        _ => default.unwrap_or_else(|| 0.into()),
    }
}

/// A float, or what stands in for one.
fn float(value: &Value, default: Option<Value>) -> Value {
    let number = value.as_str().map_or_else(|| Number::of(value), float_of);
    number.map_or_else(|| default.unwrap_or_else(|| 0.0.into()), |it| it.as_float().into())
}

fn float_of(text: &str) -> Option<Number> {
    text.trim().parse().ok().map(Number::Float)
}

/// A float to so many digits behind the point; halves go to the even one.
fn round(value: &Value, precision: Option<i64>, method: Option<&str>) -> Result<Value, Error> {
    let number = match Number::of(value) {
        Some(Number::Float(number)) => number,
        Some(Number::Int(int)) => return Ok(int.into()),
        None => return Err(raised(format!("there is no rounding of {}", value.kind()))),
    };
    // Beyond it, floats have no digits.
    let precision = precision.unwrap_or(0).clamp(0, 300) as usize;
    let factor = 10f64.powi(precision as i32);
    Ok(match method.unwrap_or("common") {
        "common" => format!("{number:.precision$}").parse().unwrap_or(number),
        "ceil" => (number * factor).ceil() / factor,
        "floor" => (number * factor).floor() / factor,
        _ => return Err(raised("methods of rounding are common, ceil and floor")),
    }
    .into())
}
