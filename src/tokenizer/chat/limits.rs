//! How much a template may make.
//!
//! The engine counts steps, but one step can make a text of any size, and a value that holds itself
//! sends whoever follows it round and round. So every value that a step makes is weighed. Steps
//! that only look at large values cost time alone, and for that there is a deadline.

use minijinja::value::{DynObject, ObjectRepr, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Weight of one value, in bytes of text and items, that any template may make, and how often the
/// conversation's weight comes on top.
const VALUE: usize = 1 << 20;
const VALUE_PER_CONVERSATION: usize = 4;

/// How many of the heaviest values a template may make.
const N_VALUES: usize = 128;

/// How deep values may nest.
const DEPTH: usize = 32;

/// How long a template may take, and how much longer per byte of the conversation; real ones take
/// some milliseconds.
const TIME: Duration = Duration::from_secs(3);
const TIME_PER_BYTE: Duration = Duration::from_micros(1);

const TOO_LARGE: &str = "it makes a value that is too large, or that holds itself";

/// How long a template may take for a conversation of so many bytes.
pub(super) fn time(conversation_len: usize) -> Duration {
    TIME + TIME_PER_BYTE.saturating_mul(u32::try_from(conversation_len).unwrap_or(u32::MAX))
}

/// An end that the template has called for, or that was put to it, in words of its own.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stopped {
    pub reason: String,
    /// Whether it has to do with the machine and its load, so that it may not come another time.
    pub may_pass: bool,
}

impl Stopped {
    pub(super) fn error(reason: impl Into<String>) -> Error {
        Stopped::for_good(reason).into()
    }

    pub(super) fn for_good(reason: impl Into<String>) -> Stopped {
        Stopped { reason: reason.into(), may_pass: false }
    }

    /// At the deadline.
    pub(super) fn late() -> Stopped {
        Stopped { reason: "it takes too long".to_owned(), may_pass: true }
    }
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Error {
        Error::new(ErrorKind::InvalidOperation, stopped.reason.clone()).with_source(stopped)
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Stopped {}

/// What one run of a template may make, and how long it may take.
#[derive(Clone)]
pub(super) struct Limits {
    value: usize,
    left: Arc<AtomicUsize>,
    deadline: Instant,
}

impl Limits {
    /// For a conversation of so many bytes.
    pub(super) fn new(conversation_len: usize) -> Limits {
        let value = VALUE + conversation_len.saturating_mul(VALUE_PER_CONVERSATION);
        let left = Arc::new(AtomicUsize::new(value.saturating_mul(N_VALUES)));
        Limits { value, left, deadline: Instant::now() + time(conversation_len) }
    }

    /// Refuses to go on behind the deadline.
    pub(super) fn check_time(&self) -> Result<(), Error> {
        if Instant::now() <= self.deadline { Ok(()) } else { Err(Stopped::late().into()) }
    }

    /// Refuses a text before it is made.
    pub(super) fn allow(&self, n_bytes: usize) -> Result<(), Error> {
        if n_bytes <= self.value { Ok(()) } else { Err(Stopped::error(TOO_LARGE)) }
    }

    /// Weighs a value. An iterable becomes the list of its items: left as it is, it would be
    /// walked again with each use, and a chain of them is as deep as it is long.
    pub(super) fn weigh(&self, value: Value) -> Result<Value, Error> {
        let mut left = self.value;
        let value = if value.kind() == ValueKind::Iterable {
            let items = value.try_iter()?.map(|item| {
                subtract(&item, 1, &mut left)?;
                Ok(item)
            });
            items.collect::<Result<Vec<Value>, Error>>()?.into()
        } else {
            subtract(&value, 0, &mut left)?;
            value
        };
        self.spend(self.value - left)?;
        Ok(value)
    }

    /// Weighs a value that becomes part of a namespace. Only there can a value change after it was
    /// made, so a namespace inside of another value is where a circle begins.
    pub(super) fn weigh_part(&self, value: Value) -> Result<Value, Error> {
        let mut left = self.value;
        subtract(&value, 1, &mut left)?;
        self.spend(self.value - left)?;
        Ok(value)
    }

    fn spend(&self, weight: usize) -> Result<(), Error> {
        self.check_time()?;
        let spend = |left: usize| left.checked_sub(weight);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend) {
            Ok(_) => Ok(()),
            Err(_) => Err(Stopped::error("it makes too much text")),
        }
    }
}

/// Takes the weight of a value from what is left.
fn subtract(value: &Value, depth: usize, left: &mut usize) -> Result<(), Error> {
    let weight = 1 + value.as_bytes().map_or(0, <[u8]>::len);
    *left = left.checked_sub(weight).ok_or_else(|| Stopped::error(TOO_LARGE))?;
    let Some(object) = value.as_object() else { return Ok(()) };
    if depth > 0 && is_namespace(object) {
        return Err(Stopped::error("it puts a namespace into another value"));
    }
    if depth == DEPTH {
        return Err(Stopped::error("it makes a value that nests too deep"));
    }
    match object.repr() {
        ObjectRepr::Map => {
            for (key, item) in object.try_iter_pairs().into_iter().flatten() {
                subtract(&key, depth + 1, left)?;
                subtract(&item, depth + 1, left)?;
            }
        }
        ObjectRepr::Seq | ObjectRepr::Iterable => {
            for item in object.try_iter().into_iter().flatten() {
                subtract(&item, depth + 1, left)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The engine has no other way to tell.
fn is_namespace(object: &DynObject) -> bool {
    object.type_name().ends_with("::Namespace")
}

/// The length, at most, of the text that filters and methods with many places to put a text into
/// would make of their arguments, the first of which is what they are applied to.
pub(super) fn length_of_result(name: &str, args: &[Value]) -> usize {
    let text = |idx: usize| args.get(idx).map(Value::to_string).unwrap_or_default();
    match name {
        "join" => {
            let n_items = args.iter().filter(|arg| arg.as_str().is_none()).filter_map(Value::len);
            let separator = args.iter().filter_map(Value::as_str).map(str::len);
            n_items.sum::<usize>().saturating_mul(separator.sum())
        }
        "replace" => text(0).matches(&text(1)).count().saturating_mul(text(2).len()),
        "indent" => {
            let width_of = |width: &Value| width.as_usize().or(width.as_str().map(str::len));
            let width = args.iter().skip(1).find_map(|arg| match arg.get_attr("width") {
                Ok(width) if !width.is_undefined() => width_of(&width),
                _ => width_of(arg),
            });
            (1 + text(0).matches('\n').count()).saturating_mul(width.unwrap_or(0))
        }
        "format" => {
            let format = text(0);
            let numbers = format.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty());
            let width = numbers.map(|n| n.parse().unwrap_or(usize::MAX)).max().unwrap_or(0);
            let args = args.iter().skip(1).map(|arg| match arg.as_usize() {
                Some(width) if format.contains('*') => width,
                _ => arg.to_string().len(),
            });
            let longest = args.fold(width, usize::saturating_add);
            format.matches(['%', '{']).count().saturating_mul(longest)
        }
        _ => 0,
    }
}
