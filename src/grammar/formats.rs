//! The formats of texts that a JSON Schema may ask for.

use serde_json::{Value, json};

/// Those that llguidance has.
const PARSED: [&str; 7] = ["duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"];

/// Those that name what texts and numbers stand for, and say nothing of how they are spelled.
const ANNOTATIONS: [&str; 12] = [
    "base64url",
    "binary",
    "byte",
    "directory-path",
    "double",
    "file-path",
    "float",
    "json-string",
    "multi-line",
    "password",
    "path",
    "phone",
];

/// What one that llguidance has counts where patterns meet: no more bytes than most of them.
const LENGTH: usize = 500;

/// A year, 0000 aside, which many calendars do not have.
const YEAR: &str = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)";

/// Months with their days, but for the one that not each year has.
const DAY: &str = "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))";

/// Years that have it.
const LEAP_YEAR: &str =
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)";

/// A time with its zone. Leap seconds are left out: most of them never were.
const TIME: &str = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

/// The largest integer that a float has together with its neighbours.
const MOST_EXACT: i64 = (1 << 53) - 1;

/// What a format is to a schema.
pub(super) enum Format {
    /// Llguidance has it.
    Parsed,
    /// It says this of texts, or of numbers.
    Schema(Value),
    /// It says nothing that shows.
    Annotation,
}

/// What a format asks for, or why it is not enforced.
pub(super) fn of(format: &Value) -> Result<Format, String> {
    let name = format.as_str().ok_or("is no text")?;
    let date = || format!("(?:{YEAR}-{DAY}|{LEAP_YEAR}-02-29)");
    // What depends on the calendar, and for which llguidance takes more.
    let pattern = |pattern: String| Ok(Format::Schema(json!({ "pattern": pattern })));
    match name {
        "date" => pattern(format!("^{}$", date())),
        "time" => pattern(format!("^{TIME}$")),
        "date-time" => pattern(format!("^{}T{TIME}$", date())),
        "int32" => Ok(Format::Schema(json!({"minimum": i32::MIN, "maximum": i32::MAX}))),
        // As far as every reader of JSON has them.
        "int64" => Ok(Format::Schema(json!({"minimum": -MOST_EXACT, "maximum": MOST_EXACT}))),
        name if PARSED.contains(&name) => Ok(Format::Parsed),
        name if ANNOTATIONS.contains(&name) => Ok(Format::Annotation),
        _ => {
            let known = PARSED.join(", ");
            Err(format!(
                "asks for a format that is not enforced here; leave it out, or take one of date, date-time, time, {known}"
            ))
        }
    }
}

/// How long the pattern of a format is, if it is one.
pub(super) fn length(format: &Value) -> Option<usize> {
    match of(format).ok()? {
        Format::Parsed => Some(LENGTH),
        Format::Schema(schema) => schema.get("pattern")?.as_str().map(str::len),
        Format::Annotation => None,
    }
}
