//! Arithmetic as Python does it, within limits.

use super::super::limits::Limits;
use super::{percent, raised};
use minijinja::value::ValueKind;
use minijinja::{Error, Value};

/// Truth values are numbers, too.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

impl Number {
    /// The number that a value is.
    pub(super) fn of(value: &Value) -> Option<Number> {
        match value.kind() {
            ValueKind::Bool => Some(Number::Int(i128::from(value.is_true()))),
            ValueKind::Number => match i128::try_from(value.clone()) {
                Ok(int) if value.is_integer() => Some(Number::Int(int)),
                _ => f64::try_from(value.clone()).ok().map(Number::Float),
            },
            _ => None,
        }
    }

    pub(super) fn as_float(self) -> f64 {
        match self {
            Number::Int(int) => int as f64,
            Number::Float(float) => float,
        }
    }
}

/// What both are numbers to: two integers, or two floats.
fn arithmetic(
    sign: char,
    (left, right): (&Value, &Value),
    of_ints: impl FnOnce(i128, i128) -> Option<i128>,
    of_floats: impl FnOnce(f64, f64) -> f64,
) -> Result<Value, Error> {
    let (Some(left), Some(right)) = (Number::of(left), Number::of(right)) else {
        let (left, right) = (left.kind(), right.kind());
        return Err(raised(format!("`{sign}` does not stand between {left} and {right}")));
    };
    match (left, right) {
        (Number::Int(left), Number::Int(right)) => {
            let result = of_ints(left, right).map(Value::from);
            result.ok_or_else(|| raised(format!("{left} {sign} {right} is no number")))
        }
        (left, right) => Ok(of_floats(left.as_float(), right.as_float()).into()),
    }
}

/// `left * right`; texts and lists are repeated.
pub(in super::super) fn product(
    limits: &Limits,
    left: &Value,
    right: &Value,
) -> Result<Value, Error> {
    for (repeated, n) in [(left, right), (right, left)] {
        let Some(Number::Int(n)) = Number::of(n) else { continue };
        let n = usize::try_from(n.max(0)).unwrap_or(usize::MAX);
        if let Some(text) = repeated.as_str() {
            limits.allow(text.len().saturating_mul(n))?;
            return Ok(text.repeat(n).into());
        }
        if matches!(repeated.kind(), ValueKind::Seq | ValueKind::Iterable) {
            let items: Vec<Value> = repeated.try_iter()?.collect();
            limits.allow(items.len().saturating_mul(n))?;
            // All of nothing is nothing, however often one goes through it.
            let n = if items.is_empty() { 0 } else { n };
            return Ok((0..n).flat_map(|_| items.iter().cloned()).collect());
        }
    }
    arithmetic('*', (left, right), i128::checked_mul, |left, right| left * right)
}

/// `left % right`; a text formats what is right of it.
pub(in super::super) fn remainder(
    limits: &Limits,
    left: &Value,
    right: &Value,
) -> Result<Value, Error> {
    if let Some(format) = left.as_str() {
        return percent::format(limits, format, right).map(Value::from);
    }
    check_divisor(right)?;
    let of_floats = |left: f64, right: f64| {
        let rest = left % right;
        if rest != 0.0 && (rest < 0.0) != (right < 0.0) { rest + right } else { rest }
    };
    let of_ints = |left: i128, right: i128| {
        let rest = left.checked_rem(right)?;
        Some(if rest != 0 && (rest < 0) != (right < 0) { rest + right } else { rest })
    };
    arithmetic('%', (left, right), of_ints, of_floats)
}

/// `left // right`, rounded down.
pub(in super::super) fn floor(left: &Value, right: &Value) -> Result<Value, Error> {
    check_divisor(right)?;
    let of_ints = |left: i128, right: i128| {
        let whole = left.checked_div(right)?;
        Some(whole - i128::from(left % right != 0 && (left < 0) != (right < 0)))
    };
    arithmetic('/', (left, right), of_ints, |left, right| (left / right).floor())
}

/// `left / right`, of integers too a float.
pub(in super::super) fn quotient(left: &Value, right: &Value) -> Result<Value, Error> {
    check_divisor(right)?;
    let float =
        |value: &Value| Number::of(value).map_or_else(|| value.clone(), |it| it.as_float().into());
    arithmetic('/', (&float(left), &float(right)), |_, _| None, |left, right| left / right)
}

fn check_divisor(right: &Value) -> Result<(), Error> {
    match Number::of(right) {
        Some(number) if number.as_float() == 0.0 => Err(raised("it divides by zero")),
        _ => Ok(()),
    }
}
