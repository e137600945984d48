//! Templates run as Hugging Face runs them, within limits: they come from files of unknown origin.

use super::checked::{
    ASSIGNED, CONCATENATION, Checked, FLOOR, LOOKED, MADE, PRODUCT, QUOTIENT, REMAINDER, SLICE,
    spelled,
};
use super::limits::{Limits, Stopped, length_of_result, time};
use super::python::{filters, json, kinds, methods, number, percent, slice, text, tuple};
use super::rewrite::{EMPTY, ONE, TUPLE};
use super::tools::Plain;
use super::{ChatError, Date, Message};
use minijinja::tests::is_in;
use minijinja::value::Rest;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde::Serialize;
use std::error::Error as _;
use std::sync::Once;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;
use std::{iter, panic, thread};

/// The function that tells a template the date.
pub(super) const NOW: &str = "strftime_now";

/// Steps that a template may take, plus [`FUEL_PER_MESSAGE`]; real ones take some hundred.
const FUEL: u64 = 100_000;
const FUEL_PER_MESSAGE: u64 = 10_000;

/// Depth to which macros and includes may nest.
const RECURSION_LIMIT: usize = 100;

/// Stack of the thread in which a template is compiled and run, in bytes: long chains of operators
/// are deep trees to the compiler. What is not touched takes no memory.
const STACK_LEN: usize = 256 << 20;

/// The name of that thread.
const THREAD: &str = "chat template";

/// What a template sees.
#[derive(Serialize)]
pub(super) struct Conversation<'a> {
    pub messages: &'a [Message],
    pub add_generation_prompt: bool,
    pub bos_token: &'a str,
    pub eos_token: &'a str,
    /// Functions that may be called, which templates ask for by `tools is not none`.
    pub tools: Option<Vec<Plain<'a>>>,
    /// None are offered.
    pub documents: Option<()>,
}

impl Conversation<'_> {
    /// Bytes of its messages and functions.
    fn len(&self) -> usize {
        let of_calls = |message: &Message| match message.tool_calls.is_empty() {
            true => 0,
            false => serde_json::json!(message.tool_calls).to_string().len(),
        };
        let of_message =
            |message: &Message| message.role.len() + message.content.len() + of_calls(message);
        let of_tool = |Plain(tool): &Plain| tool.to_string().len();
        let tools = self.tools.iter().flatten();
        self.messages.iter().map(of_message).chain(tools.map(of_tool)).sum()
    }
}

/// Whether a template is valid; the error says why not.
pub(super) fn check(source: &str) -> Result<(), String> {
    let source = source.to_owned();
    let compile = move || Checked::compile(&spelled(&source)?).map(|_| ());
    apart(time(0), compile).map_err(|stopped| stopped.reason)
}

/// Runs a template, which is told that it is `date`.
pub(super) fn render(
    source: &str,
    conversation: &Conversation,
    date: Date,
) -> Result<String, ChatError> {
    let (source, seen) = (source.to_owned(), Value::from_serialize(conversation));
    let (n_messages, len) = (conversation.messages.len(), conversation.len());
    let run = move || {
        let source = spelled(&source)?;
        let template = Checked::compile(&source)?;
        template.run(&environment(n_messages, len, date), seen)
    };
    apart(time(len), run).map_err(|Stopped { reason, may_pass }| match may_pass {
        true => ChatError::Machine { reason },
        false => ChatError::Template { reason },
    })
}

/// Does something in a thread with a large stack, which may also panic: the engine is not proof
/// against every template. The error is the reason, on one line.
///
/// Whoever takes longer than `time` should stop by the limits. Twice that long is not waited: a
/// single step of the engine cannot be interrupted, and its thread is left behind.
fn apart<T: Send + 'static>(
    time: Duration,
    run: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Stopped> {
    silence_panics();
    let (sender, receiver) = sync_channel(1);
    // Nobody receives what comes too late.
    let run = move || drop(sender.send(run().map_err(|error| reason(&error))));
    let thread = thread::Builder::new().name(THREAD.into()).stack_size(STACK_LEN).spawn(run);
    thread.map_err(|error| {
        let reason = format!("no thread can be had for it: {error}");
        Stopped { reason, may_pass: true }
    })?;
    receiver.recv_timeout(time * 2).unwrap_or_else(|error| match error {
        RecvTimeoutError::Timeout => Err(Stopped::late()),
        RecvTimeoutError::Disconnected => {
            Err(Stopped::for_good("the template engine cannot cope with it"))
        }
    })
}

/// Keeps panics of the engine, which become errors, from being told on stderr as well.
fn silence_panics() {
    static SILENCED: Once = Once::new();
    SILENCED.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(THREAD) {
                others(info);
            }
        }));
    });
}

/// For a conversation of so many messages and bytes.
fn environment<'a>(n_messages: usize, conversation_len: usize, date: Date) -> Environment<'a> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL + FUEL_PER_MESSAGE * n_messages as u64));
    environment.set_recursion_limit(RECURSION_LIMIT);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function(NOW, move |format: &str| strftime(date, format));
    let limits = Limits::new(conversation_len);
    speak_python(&mut environment, &limits);
    limit(&mut environment, &limits);
    environment
}

/// Has values be what Python's are.
fn speak_python(environment: &mut Environment, limits: &Limits) {
    kinds::add(environment);
    environment.add_global(ONE, 1);
    environment.add_global(EMPTY, "");
    environment.add_function(TUPLE, |items: Rest<Value>| tuple(items.0));
    let own = limits.clone();
    environment
        .add_filter(PRODUCT, move |left: &Value, right: &Value| number::product(&own, left, right));
    let own = limits.clone();
    environment.add_filter(REMAINDER, move |left: &Value, right: &Value| {
        number::remainder(&own, left, right)
    });
    environment.add_filter(FLOOR, number::floor);
    environment.add_filter(QUOTIENT, number::quotient);
    environment.add_filter(SLICE, slice::slice);
    environment.add_filter(CONCATENATION, |left: &Value, right: &Value| text(left) + &text(right));
    filters::add(environment, limits);
    let own = limits.clone();
    environment
        .add_filter("tojson", move |value: &Value, options| json::tojson(&own, value, options));
    environment.add_filter("items", methods::items);
    let own = limits.clone();
    environment.add_filter("format", move |format: &str, args: Rest<Value>| {
        percent::format(&own, format, &tuple(args.0))
    });
}

/// Keeps everything that a template makes within limits.
fn limit(environment: &mut Environment, limits: &Limits) {
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let made = limits.clone();
    environment.add_filter(MADE, move |value: Value| made.weigh(value));
    let assigned = limits.clone();
    environment.add_filter(ASSIGNED, move |value: Value| assigned.weigh_part(value));
    let looked = limits.clone();
    environment.add_filter(LOOKED, move |value: Value| looked.check_time().map(|()| value));
    // As a test of each item of a list, this goes through another list each time.
    let looked = limits.clone();
    environment.add_test("in", move |state: &State, value: &Value, list: &Value| {
        looked.check_time()?;
        is_in(state, value, list)
    });
    let written = limits.clone();
    environment.set_formatter(move |out, _, value| {
        Ok(out.write_str(&text(&written.weigh(value.clone())?))?)
    });
    environment.add_filter("~join", filters::join);
    environment.add_filter("~replace", filters::replace);
    environment.add_filter("~indent", filters::indent);
    for name in ["join", "replace", "indent"] {
        let limits = limits.clone();
        environment.add_filter(name, move |state: &State, args: Rest<Value>| {
            limits.allow(length_of_result(name, &args))?;
            state.apply_filter(&format!("~{name}"), &args)
        });
    }
    let limits = limits.clone();
    environment.set_unknown_method_callback(move |state, value, method, args| {
        let all: Vec<Value> = iter::once(value).chain(args).cloned().collect();
        limits.allow(length_of_result(method, &all))?;
        // The library would look for it forever.
        if method == "count" && args.first().and_then(Value::as_str) == Some("") {
            return Err(Stopped::error("it counts how often the empty text occurs"));
        }
        methods::call(&limits, value, method, args)
            .unwrap_or_else(|| unknown_method_callback(state, value, method, args))
    });
    // Of no use to chats, and what these make would have to be foreseen, too.
    for name in ["batch", "slice", "pprint"] {
        environment.remove_filter(name);
    }
    environment.remove_global("debug");
}

/// What went wrong, on one line: a message that the template raised, as it is.
fn reason(error: &Error) -> Stopped {
    let causes = iter::successors(error.source(), |cause| (*cause).source());
    let stopped = causes.filter_map(|cause| cause.downcast_ref::<Stopped>()).last();
    match (stopped, error.kind()) {
        (Some(stopped), _) => stopped.clone(),
        (None, ErrorKind::OutOfFuel) => Stopped::for_good("it takes too many steps"),
        (None, _) => Stopped::for_good(error.to_string().replace('\n', " ")),
    }
}

fn raise_exception(message: String) -> Result<String, Error> {
    Err(Stopped::error(message))
}

fn strftime(date: Date, format: &str) -> Result<String, Error> {
    date.format(format).map_err(|directive| {
        let detail = format!("{NOW} does not know %{directive}");
        Error::new(ErrorKind::InvalidOperation, detail)
    })
}

#[cfg(test)]
mod tests {
    use super::{Stopped, apart};
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn whoever_does_not_stop_is_left_behind() {
        let second = Duration::from_secs(1);
        assert_eq!(apart(second, || Ok(7)), Ok(7));
        let late = apart(second / 100, move || {
            sleep(second);
            Ok(())
        });
        assert_eq!(late, Err(Stopped::late()));
        let panic = apart(second, || -> Result<(), _> { panic!("of the engine") });
        let reason = "the template engine cannot cope with it";
        assert_eq!(panic, Err(Stopped::for_good(reason)));
    }
}
