//! Methods of Python's values that the engine's own do not have, or have otherwise.

use super::super::limits::Limits;
use super::{raised, tuple};
use minijinja::value::{Kwargs, ValueKind, from_args};
use minijinja::{Error, Value};

/// The result of a method; `None` where the engine's own is as good.
pub(in super::super) fn call(
    limits: &Limits,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Option<Result<Value, Error>> {
    match (value.as_str(), value.kind()) {
        (Some(text), _) => of_text(limits, text, method, args),
        (None, ValueKind::Map) if method == "items" => Some(items(value)),
        (None, ValueKind::Seq) if method == "index" => Some(index_in(value, args)),
        _ => None,
    }
}

/// The pairs of a mapping.
pub(in super::super) fn items(mapping: &Value) -> Result<Value, Error> {
    if mapping.kind() != ValueKind::Map {
        return Err(raised("there are items of mappings alone"));
    }
    let pair = |key: Value| Ok(tuple([key.clone(), mapping.get_item(&key)?]));
    mapping.try_iter()?.map(pair).collect::<Result<Vec<Value>, Error>>().map(Value::from)
}

fn index_in(list: &Value, args: &[Value]) -> Result<Value, Error> {
    let (wanted,): (&Value,) = from_args(args)?;
    let found = list.try_iter()?.position(|item| item == *wanted);
    found.map(Value::from).ok_or_else(|| raised("it is not in the list"))
}

fn of_text(
    limits: &Limits,
    text: &str,
    method: &str,
    args: &[Value],
) -> Option<Result<Value, Error>> {
    let is_all = |is: fn(char) -> bool| Ok(Value::from(!text.is_empty() && text.chars().all(is)));
    Some(match method {
        "find" | "rfind" | "index" | "rindex" => find(text, method, args),
        "startswith" | "endswith" => begins(text, method, args),
        "split" | "rsplit" => split(text, method == "rsplit", args),
        "splitlines" => lines(text, args),
        "partition" | "rpartition" => partition(text, method == "rpartition", args),
        "removeprefix" => {
            from_args(args).map(|(begun,): (&str,)| text.strip_prefix(begun).unwrap_or(text).into())
        }
        "removesuffix" => {
            from_args(args).map(|(end,): (&str,)| text.strip_suffix(end).unwrap_or(text).into())
        }
        "zfill" | "ljust" | "rjust" | "center" => justified(limits, text, method, args),
        "title" => Ok(title(text, is_no_letter).into()),
        "swapcase" => {
            let swapped = |c: char| match c.is_uppercase() {
                true => c.to_lowercase().collect::<String>(),
                false => c.to_uppercase().collect(),
            };
            Ok(text.chars().map(swapped).collect::<String>().into())
        }
        "casefold" => Ok(text.to_lowercase().into()),
        "islower" => Ok(is_lower(text).into()),
        "isupper" => Ok(is_upper(text).into()),
        "istitle" => {
            let has_letters = text.chars().any(char::is_alphabetic);
            Ok((has_letters && title(text, is_no_letter) == text).into())
        }
        "isspace" => is_all(char::is_whitespace),
        "isdigit" | "isdecimal" | "isnumeric" => is_all(char::is_numeric),
        "isalpha" => is_all(char::is_alphabetic),
        "isalnum" => is_all(char::is_alphanumeric),
        _ => return None,
    })
}

/// Whether there are letters in lower case, and none in upper case.
pub(super) fn is_lower(text: &str) -> bool {
    text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)
}

/// Whether there are letters in upper case, and none in lower case.
pub(super) fn is_upper(text: &str) -> bool {
    text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)
}

/// The characters from `start` to `end`, both as Python counts them, and where they begin.
fn part(text: &str, start: Option<i64>, end: Option<i64>) -> (&str, usize) {
    let n_chars = text.chars().count();
    let at = |place: i64| match usize::try_from(place) {
        Ok(place) => place.min(n_chars),
        Err(_) => n_chars.saturating_sub(place.unsigned_abs() as usize),
    };
    let start = start.map_or(0, at);
    let end = end.map_or(n_chars, at).max(start);
    let byte = |place| text.char_indices().nth(place).map_or(text.len(), |(byte, _)| byte);
    (&text[byte(start)..byte(end)], start)
}

fn find(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (wanted, start, end): (&str, Option<i64>, Option<i64>) = from_args(args)?;
    let (text, n_before) = part(text, start, end);
    let found = if method.starts_with('r') { text.rfind(wanted) } else { text.find(wanted) };
    match found {
        Some(byte) => Ok((n_before + text[..byte].chars().count()).into()),
        None if method.ends_with("find") => Ok(Value::from(-1)),
        None => Err(raised("substring not found")),
    }
}

fn begins(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (wanted, start, end): (&Value, Option<i64>, Option<i64>) = from_args(args)?;
    let (text, _) = part(text, start, end);
    let has = |wanted: &Value| match wanted.as_str() {
        Some(wanted) if method == "startswith" => Ok(text.starts_with(wanted)),
        Some(wanted) => Ok(text.ends_with(wanted)),
        None => Err(raised(format!("{method} takes a text, or a tuple of texts"))),
    };
    if wanted.as_str().is_some() || !matches!(wanted.kind(), ValueKind::Seq) {
        return has(wanted).map(Value::from);
    }
    for wanted in wanted.try_iter()? {
        if has(&wanted)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

fn split(text: &str, from_right: bool, args: &[Value]) -> Result<Value, Error> {
    let (separator, most, options): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
    let separator = separator.or(options.get("sep")?);
    let most = most.or(options.get("maxsplit")?);
    options.assert_all_used()?;
    let most = most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let mut parts: Vec<&str> = match (separator, from_right) {
        (Some(""), _) => return Err(raised("empty separator")),
        (Some(separator), false) => text.splitn(most.saturating_add(1), separator).collect(),
        (Some(separator), true) => text.rsplitn(most.saturating_add(1), separator).collect(),
        (None, _) => words(text, from_right, most),
    };
    if from_right {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// The first words, and the rest; from the right the last ones first.
fn words(text: &str, from_right: bool, most: usize) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = if from_right { rest.trim_end() } else { rest.trim_start() };
        let cut = match from_right {
            _ if rest.is_empty() => return words,
            _ if words.len() == most => None,
            true => rest.rsplit_once(char::is_whitespace).map(|(rest, word)| (word, rest)),
            false => rest.split_once(char::is_whitespace),
        };
        let (word, next) = cut.unwrap_or((rest, ""));
        words.push(word);
        rest = next;
    }
}

/// The lines of a text, by whatever Python takes for the end of one.
fn lines(text: &str, args: &[Value]) -> Result<Value, Error> {
    let (keeps_ends, options): (Option<bool>, Kwargs) = from_args(args)?;
    let keeps_ends = keeps_ends.or(options.get("keepends")?).unwrap_or(false);
    options.assert_all_used()?;
    const ENDS: &str = "\n\r\u{b}\u{c}\u{1c}\u{1d}\u{1e}\u{85}\u{2028}\u{2029}";
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(|c| ENDS.contains(c)) {
        let end = rest[at..].chars().next().map_or(0, char::len_utf8);
        let end = at + if rest[at..].starts_with("\r\n") { 2 } else { end };
        lines.push(Value::from(&rest[..if keeps_ends { end } else { at }]));
        rest = &rest[end..];
    }
    lines.extend(Some(rest).filter(|rest| !rest.is_empty()).map(Value::from));
    Ok(lines.into())
}

fn partition(text: &str, from_right: bool, args: &[Value]) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(args)?;
    let cut = match from_right {
        _ if separator.is_empty() => return Err(raised("empty separator")),
        true => text.rsplit_once(separator),
        false => text.split_once(separator),
    };
    let parts = match (cut, from_right) {
        (Some((before, behind)), _) => [before, separator, behind],
        (None, true) => ["", "", text],
        (None, false) => [text, "", ""],
    };
    Ok(tuple(parts.map(Value::from)))
}

pub(super) fn justified(
    limits: &Limits,
    text: &str,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let (width, fill): (i64, Option<char>) = from_args(args)?;
    let width = usize::try_from(width).unwrap_or(0);
    let fill = fill.unwrap_or(if method == "zfill" { '0' } else { ' ' });
    limits.allow(width.saturating_mul(fill.len_utf8()))?;
    let missing = width.saturating_sub(text.chars().count());
    let (before, behind) = match method {
        "ljust" => (0, missing),
        // As CPython has it, the odd one goes before if the width is odd as well.
        "center" => {
            let before = missing / 2 + (missing & width & 1);
            (before, missing - before)
        }
        _ => (missing, 0),
    };
    let fill = |n: usize| fill.to_string().repeat(n);
    let at = match method {
        "zfill" if text.starts_with(['+', '-']) => 1,
        _ => 0,
    };
    Ok([&text[..at], &fill(before), &text[at..], &fill(behind)].concat().into())
}

/// What ends a word to the method `title`.
fn is_no_letter(c: char) -> bool {
    !c.is_alphabetic()
}

/// What begins a word in upper case, the rest in lower case.
pub(super) fn title(text: &str, ends_word: fn(char) -> bool) -> String {
    let mut title = String::new();
    let mut is_inside = false;
    for c in text.chars() {
        match is_inside {
            true => title.extend(c.to_lowercase()),
            false => title.extend(c.to_uppercase()),
        }
        is_inside = !ends_word(c);
    }
    title
}
