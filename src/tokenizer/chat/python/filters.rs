//! Filters that Jinja2 has otherwise than the engine, or it alone.

use super::super::limits::Limits;
use super::methods::justified;
use super::number::Number;
use super::{raised, text};
use minijinja::value::Kwargs;
use minijinja::{Environment, Error, Value};

/// Puts them into the place of the engine's, but for [`join`] and [`replace`].
pub(in super::super) fn add(environment: &mut Environment, limits: &Limits) {
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("float", float);
    environment.add_filter("int", int);
    environment.add_filter("round", round);
    environment.add_filter("string", text);
    environment.add_filter("title", title);
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

/// What begins a word in upper case, the rest in lower case.
fn title(value: &Value) -> String {
    let mut title = String::new();
    let mut is_inside = false;
    for c in text(value).chars() {
        match is_inside {
            true => title.extend(c.to_lowercase()),
            false => title.extend(c.to_uppercase()),
        }
        is_inside = !(c.is_whitespace() || "-({[<".contains(c));
    }
    title
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
        Some(Number::Int(_)) => return Ok(value.clone()),
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
