//! An object from outside, asked for one value after another.

use super::fault::{Fault, quoted};
use serde_json::{Map, Value};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Pairs of metadata, and characters of their names and values, as at OpenAI.
const MOST_METADATA: (usize, usize, usize) = (16, 64, 512);

/// The fields of an object that nobody has asked for yet. A field that is null is not there.
pub struct Fields {
    path: String,
    object: Map<String, Value>,
}

impl Fields {
    /// Those of `value`, which is found at `path`: `body.`, `messages[0].`.
    pub fn of(value: Value, path: impl Into<String>) -> Result<Fields, Fault> {
        let path = path.into();
        let object = object(value, path.trim_end_matches('.'))?;
        Ok(Fields { path, object })
    }

    /// Those of a value that is found in no other, and which messages call `what`.
    pub fn of_root(value: Value, what: &str) -> Result<Fields, Fault> {
        Ok(Fields { path: String::new(), object: object(value, what)? })
    }

    /// Where these fields are: what stands before their names.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The value of a field, whatever its type.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    /// The value of a field, which stays.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    /// The fields of an object that a field has.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields>, Fault> {
        let path = format!("{}{name}.", self.path);
        self.take(name).map(|value| Fields::of(value, path)).transpose()
    }

    /// That a field must be there.
    pub fn required<T>(&self, name: &str, value: Option<T>) -> Result<T, Fault> {
        value.ok_or_else(|| {
            let param = format!("{}{name}", self.path);
            let message = format!("{param} is missing");
            Fault::at("missing_required_parameter", param, message)
        })
    }

    /// What is wrong with the value of a field.
    pub fn wrong(&self, name: &str, found: impl Display, expected: impl Display) -> Fault {
        let param = format!("{}{name}", self.path);
        let message = format!("{param} is {found}; expected {expected}");
        Fault::at("invalid_value", param, message)
    }

    fn typed<T>(
        &mut self,
        name: &str,
        expected: impl Display,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let typed = read(&value).ok_or_else(|| self.wrong(name, quoted(&value), expected));
        typed.map(Some)
    }

    /// A text.
    pub fn string(&mut self, name: &str) -> Result<Option<String>, Fault> {
        self.typed(name, "a string", |value| value.as_str().map(str::to_owned))
    }

    /// A truth value.
    pub fn bool(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        self.typed(name, "true or false", Value::as_bool)
    }

    /// Any integer of 64 bits; the negative ones in two's complement.
    pub fn bits(&mut self, name: &str) -> Result<Option<u64>, Fault> {
        let range = i128::from(i64::MIN)..=i128::from(u64::MAX);
        let bits = |value: &Value| integer(value).filter(|bits| range.contains(bits));
        self.typed(name, "an integer", |value| bits(value).map(|bits| bits as u64))
    }

    /// A count, or -1 for `all`.
    pub fn count_or_all(&mut self, name: &str, all: usize) -> Result<Option<usize>, Fault> {
        self.typed(name, "an integer of 0 or more, or -1 for all", |value| match integer(value)? {
            -1 => Some(all),
            count => usize::try_from(count).ok(),
        })
    }

    /// A limit of `least` or more, or -1 for no limit, as llama.cpp's clients write it.
    pub fn limit(&mut self, name: &str, least: usize) -> Result<Option<Option<usize>>, Fault> {
        let expected = format!("an integer of {least} or more, or -1 for no limit");
        self.typed(name, expected, |value| match integer(value)? {
            -1 => Some(None),
            limit => usize::try_from(limit).ok().filter(|limit| *limit >= least).map(Some),
        })
    }

    /// A count within bounds.
    pub fn count(
        &mut self,
        name: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<usize>, Fault> {
        let expected = match (range.start(), range.end()) {
            (start, &usize::MAX) => format!("an integer of {start} or more"),
            (start, end) => format!("an integer from {start} to {end}"),
        };
        self.typed(name, expected, |value| {
            usize::try_from(integer(value)?).ok().filter(|count| range.contains(count))
        })
    }

    /// A number within bounds.
    pub fn number(&mut self, name: &str, range: RangeInclusive<f32>) -> Result<Option<f32>, Fault> {
        let expected = format!("a number from {} to {}", range.start(), range.end());
        self.typed(name, expected, |value| {
            Some(value.as_f64()? as f32).filter(|number| range.contains(number))
        })
    }

    /// What whoever asks wants to know again: texts by their names.
    pub fn metadata(&mut self) -> Result<Option<Map<String, Value>>, Fault> {
        let (most_pairs, most_name, most_value) = MOST_METADATA;
        let is_short = |text: &str, most| text.chars().count() <= most;
        let is_pair = |(name, value): (&String, &Value)| {
            is_short(name, most_name)
                && value.as_str().is_some_and(|value| is_short(value, most_value))
        };
        let expected = format!(
            "an object of {most_pairs} strings at most, with {most_value} characters and names of {most_name}"
        );
        self.typed("metadata", expected, |value| {
            let pairs = value.as_object()?;
            let is_metadata = pairs.len() <= most_pairs && pairs.iter().all(is_pair);
            is_metadata.then(|| pairs.clone())
        })
    }

    /// That a field which would change the answer, in a way that there is none of here, asks for
    /// nothing: is absent or has the value `neutral`.
    pub fn unsupported(&mut self, name: &str, neutral: &Value) -> Result<(), Fault> {
        let Some(value) = self.take(name) else { return Ok(()) };
        // A zero may be written 0 or 0.0.
        let is_same_number = value.as_f64().is_some_and(|number| neutral.as_f64() == Some(number));
        if value == *neutral || is_same_number {
            return Ok(());
        }
        Err(self.not_done(name, &value))
    }

    /// What is wrong with a field that asks for what there is none of here.
    pub fn not_done(&self, name: &str, value: &Value) -> Fault {
        let param = format!("{}{name}", self.path);
        let message =
            format!("{param} is {}, which gatefold does not do; leave it out", quoted(value));
        Fault::at("unsupported_parameter", param, message)
    }

    /// That nothing is left but fields with these names, which change no answer.
    pub fn finish(self, ignored: &[&str]) -> Result<(), Fault> {
        let known =
            |(name, value): &(String, Value)| !value.is_null() && !ignored.contains(&name.as_str());
        // Whatever their order, the same one is named.
        let names = self.object.into_iter().filter(known).map(|(name, _)| name);
        let Some(name) = names.min() else { return Ok(()) };
        let name = quoted(&Value::from(name));
        let param = format!("{}{}", self.path, name.trim_matches('"'));
        let message = format!("{param} is not known; leave it out");
        Err(Fault::at("unknown_parameter", param, message))
    }
}

/// The integer that a number is. Some programs write all numbers with a fraction: `100.0`.
fn integer(value: &Value) -> Option<i128> {
    let whole = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
    // Up to where every integer is a float.
    let is_exact = |number: &f64| number.fract() == 0.0 && number.abs() <= 2f64.powi(53);
    whole.or_else(|| value.as_f64().filter(is_exact).map(|number| number as i128))
}

fn object(value: Value, what: &str) -> Result<Map<String, Value>, Fault> {
    match value {
        Value::Object(object) => Ok(object),
        value => {
            let message = format!("{what} is {}; expected an object", quoted(&value));
            Err(Fault::new("invalid_type", message))
        }
    }
}
