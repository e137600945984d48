//! The formats of texts that a JSON Schema may ask for.

use serde_json::Value;

/// Those that llguidance has.
const PARSED: [&str; 7] = ["duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid"];

/// A year, 0000 aside, which many calendars do not have.
const YEAR: &str = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)";

/// Months with their days, but for the one that not each year has.
const DAY: &str = "(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))";

/// Years that have it.
const LEAP_YEAR: &str =
    "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)";

/// A time with its zone. Leap seconds are left out: most of them never were.
const TIME: &str = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])";

/// That a format is enforced.
pub(super) fn check(format: &Value) -> Result<(), String> {
    let name = format.as_str().ok_or("is no text")?;
    if PARSED.contains(&name) || pattern(format).is_some() {
        return Ok(());
    }
    let known = PARSED.join(", ");
    Err(format!(
        "asks for a format that is not enforced here; leave it out, or take one of date, date-time, time, {known}"
    ))
}

/// The pattern of a format whose texts depend on the calendar, and for which llguidance takes more.
pub(super) fn pattern(format: &Value) -> Option<String> {
    let date = || format!("(?:{YEAR}-{DAY}|{LEAP_YEAR}-02-29)");
    match format.as_str()? {
        "date" => Some(format!("^{}$", date())),
        "time" => Some(format!("^{TIME}$")),
        "date-time" => Some(format!("^{}T{TIME}$", date())),
        _ => None,
    }
}
