//! Templates run as Hugging Face runs them, within limits: they come from files of unknown origin.

use super::{ChatError, Message, date};
use minijinja::value::Kwargs;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::Formatter;
use std::io;

/// Steps that a template may take, plus [`FUEL_PER_MESSAGE`]; real ones take some hundred.
const FUEL: u64 = 200_000;
const FUEL_PER_MESSAGE: u64 = 20_000;

/// Depth to which macros and includes may nest.
const RECURSION_LIMIT: usize = 100;

/// What a template sees.
#[derive(Serialize)]
pub(super) struct Conversation<'a> {
    pub messages: &'a [Message],
    pub add_generation_prompt: bool,
    pub bos_token: &'a str,
    pub eos_token: &'a str,
}

/// Whether a template is valid Jinja.
pub(super) fn check(source: &str) -> Result<(), ChatError> {
    let environment = environment(0);
    let checked = environment.template_from_str(source);
    checked.map(|_| ()).map_err(|error| ChatError::Syntax { reason: reason(&error) })
}

/// Runs a template.
pub(super) fn render(source: &str, conversation: &Conversation) -> Result<String, ChatError> {
    environment(conversation.messages.len())
        .render_str(source, conversation)
        .map_err(|error| ChatError::Template { reason: reason(&error) })
}

fn environment(n_messages: usize) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL + FUEL_PER_MESSAGE * n_messages as u64));
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", tojson);
    environment
}

/// What went wrong, on one line: a message that the template raised, as it is.
fn reason(error: &Error) -> String {
    match (error.kind(), error.detail(), error.line()) {
        (ErrorKind::InvalidOperation, Some(raised), None) => raised.to_owned(),
        (ErrorKind::OutOfFuel, ..) => "it takes too many steps".to_owned(),
        _ => error.to_string().replace('\n', " "),
    }
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

fn strftime_now(format: &str) -> Result<String, Error> {
    date::now().format(format).map_err(|directive| {
        let detail = format!("strftime_now does not know %{directive}");
        Error::new(ErrorKind::InvalidOperation, detail)
    })
}

/// JSON as Python writes it, with every character as it is.
fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    for ignored in ["ensure_ascii", "sort_keys", "separators"] {
        let _: Option<Value> = options.get(ignored)?;
    }
    options.assert_all_used()?;
    let mut json = Vec::new();
    let written = match indent {
        Some(width) => {
            let spaces = " ".repeat(width.min(16));
            let formatter = serde_json::ser::PrettyFormatter::with_indent(spaces.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, formatter))
        }
        None => value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, Spaced)),
    };
    written
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))
        .map(|()| String::from_utf8_lossy(&json).into_owned())
}

/// JSON on one line with spaces behind commas and colons.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: io::Write + ?Sized>(
        &mut self,
        out: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: io::Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}
