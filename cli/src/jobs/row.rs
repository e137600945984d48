//! Lines of results of any kind, as far as they are alike.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// How the lines of all kinds of results begin.
pub const ROW_START: &str = "{\"id\":\"";

/// A line of results, as far as all kinds are alike.
#[derive(Clone, Debug, Deserialize)]
pub struct Row {
    id: String,
    custom_id: Option<String>,
    key: Option<String>,
    error: Option<IgnoredAny>,
}

impl Row {
    /// What it is the result of: the `custom_id` of a request, the `id` of a document.
    pub fn name(&self) -> &str {
        self.custom_id.as_deref().unwrap_or(&self.id)
    }

    /// Whether there is a result, and not what was wrong.
    pub fn is_answered(&self) -> bool {
        self.error.is_none()
    }

    /// Whether both are results of the same piece of work, asked in the same way.
    pub(super) fn is_of_same(&self, other: &Row) -> bool {
        (&self.id, &self.key) == (&other.id, &other.key)
    }
}

/// Where lines say when they were written, or how long that took.
const TIMES: [(&str, &str); 3] =
    [("", "seconds"), ("/response/body", "created"), ("/response/body", "created_at")];

/// Where two lines say different things, the first such place, whenever they were written:
/// `.response.body.choices[0].text`.
pub fn difference(a: &[u8], b: &[u8]) -> Option<String> {
    if a == b {
        return None;
    }
    match [a, b].map(timeless) {
        [Some(a), Some(b)] => place_of_difference(&a, &b),
        _ => Some(String::new()),
    }
}

/// Whether two lines say the same, whenever they were written.
pub(super) fn is_same_result(a: &[u8], b: &[u8]) -> bool {
    difference(a, b).is_none()
}

/// A line without its times.
fn timeless(line: &[u8]) -> Option<Value> {
    let mut line: Value = serde_json::from_slice(line).ok()?;
    for (place, field) in TIMES {
        if let Some(Value::Object(fields)) = line.pointer_mut(place) {
            fields.shift_remove(field);
        }
    }
    Some(line)
}

fn place_of_difference(a: &Value, b: &Value) -> Option<String> {
    let inside = |place: String, a: Option<&Value>, b: Option<&Value>| match (a, b) {
        (Some(a), Some(b)) => place_of_difference(a, b).map(|rest| place + &rest),
        _ => Some(place),
    };
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names = a.keys().chain(b.keys().filter(|name| !a.contains_key(*name)));
            let mut places =
                names.filter_map(|name| inside(format!(".{name}"), a.get(name), b.get(name)));
            places.next()
        }
        (Value::Array(a), Value::Array(b)) => {
            let all = 0..a.len().max(b.len());
            all.filter_map(|idx| inside(format!("[{idx}]"), a.get(idx), b.get(idx))).next()
        }
        _ => (a != b).then(String::new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_the_same_whenever_they_were_made() {
        let same = [
            (r#"{"id":"a","seconds":1}"#, r#"{"id":"a","seconds":2.5}"#),
            (
                r#"{"response":{"body":{"created":1,"a":2}}}"#,
                r#"{"response":{"body":{"created":3,"a":2}}}"#,
            ),
            (r#"{"response":{"body":{"created_at":1}}}"#, r#"{"response":{"body":{}}}"#),
            ("no JSON", "no JSON"),
        ];
        let other = [
            (r#"{"id":"a","facts":{"seconds":1}}"#, r#"{"id":"a","facts":{"seconds":2}}"#),
            (r#"{"created":1}"#, r#"{"created":2}"#),
            (r#"{"id":"a"}"#, r#"{"id":"b"}"#),
            ("no JSON", "none"),
            (r#"{"id":1e400}"#, r#"{"id":1}"#),
        ];
        for (a, b) in same {
            assert!(is_same_result(a.as_bytes(), b.as_bytes()), "{a} {b}");
        }
        for (a, b) in other {
            assert!(!is_same_result(a.as_bytes(), b.as_bytes()), "{a} {b}");
        }
        let [a, b] = [r#"{"a":[{"b":1},{"c":"x"}]}"#, r#"{"a":[{"b":1},{"c":"y"},2],"d":0}"#];
        assert_eq!(difference(a.as_bytes(), b.as_bytes()).as_deref(), Some(".a[1].c"));
        let [a, b] = [r#"{"a":1}"#, r#"{"a":1,"d":0}"#];
        assert_eq!(difference(a.as_bytes(), b.as_bytes()).as_deref(), Some(".d"));
    }
}
