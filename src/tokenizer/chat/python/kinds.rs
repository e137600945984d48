//! Jinja2's tests of what a value is, which ask what Python's values can do.

use super::{methods, text};
use minijinja::value::ValueKind;
use minijinja::{Environment, Value};

/// Puts them into the place of the engine's.
pub(in super::super) fn add(environment: &mut Environment) {
    use ValueKind::{Bool, Iterable, Map, Number, Plain, Seq, String, Undefined};
    environment.add_test("iterable", |value: &Value| {
        matches!(value.kind(), Undefined | String | Seq | Iterable | Map)
    });
    // Whatever has a length and items by a key or number.
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), Undefined | String | Seq | Map)
    });
    environment.add_test("number", |value: &Value| matches!(value.kind(), Bool | Number));
    environment.add_test("lower", |value: &Value| methods::is_lower(&text(value)));
    environment.add_test("upper", |value: &Value| methods::is_upper(&text(value)));
    environment.add_test("callable", |value: &Value| value.kind() == Plain);
}
