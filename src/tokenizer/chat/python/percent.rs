//! `'%s of %d' % (a, b)`.

use super::super::limits::Limits;
use super::number::Number;
use super::{Tuple, float, raised, repr, text};
use minijinja::value::ValueKind;
use minijinja::{Error, Value};
use std::iter::Peekable;
use std::str::Chars;

/// Most digits behind the point of a float; no float has more that say anything.
const MAX_DIGITS: usize = 1100;

/// A conversion: what stands between `%` and its letter.
#[derive(Default)]
struct Spec {
    is_left: bool,
    is_zeroed: bool,
    has_sign: bool,
    has_blank: bool,
    is_alternate: bool,
    width: usize,
    precision: Option<usize>,
}

/// What is formatted: items one after the other, or by name.
struct Args<'a> {
    values: &'a Value,
    items: Vec<Value>,
    n_taken: usize,
}

/// `format % values`: a tuple has the items, a mapping those with names, and everything else is one.
pub(in super::super) fn format(
    limits: &Limits,
    format: &str,
    values: &Value,
) -> Result<String, Error> {
    let items = match values.downcast_object_ref::<Tuple>() {
        Some(Tuple(items)) => items.clone(),
        None => vec![values.clone()],
    };
    let mut args = Args { values, items, n_taken: 0 };
    let mut out = String::new();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let named =
            if chars.next_if_eq(&'(').is_some() { Some(args.named(&mut chars)?) } else { None };
        let spec = Spec::read(&mut chars, &mut args)?;
        let widest = spec.width.max(spec.precision.unwrap_or(0));
        limits.allow(out.len().saturating_add(widest))?;
        let letter = chars.next().ok_or_else(|| raised("incomplete format"))?;
        if letter == '%' {
            out.push('%');
            continue;
        }
        let value = named.map_or_else(|| args.next(), Ok)?;
        out.push_str(&spec.padded(letter, spec.written(letter, &value)?));
        limits.allow(out.len())?;
    }
    match args.is_used_up() {
        true => Ok(out),
        false => Err(raised("not all arguments converted during string formatting")),
    }
}

impl Args<'_> {
    fn next(&mut self) -> Result<Value, Error> {
        let next = self.items.get(self.n_taken).cloned();
        self.n_taken += 1;
        next.ok_or_else(|| raised("not enough arguments for format string"))
    }

    /// The value whose name stands before the closing parenthesis.
    fn named(&mut self, chars: &mut Peekable<Chars>) -> Result<Value, Error> {
        if self.values.kind() != ValueKind::Map {
            return Err(raised("format requires a mapping"));
        }
        let name: String = chars.by_ref().take_while(|&c| c != ')').collect();
        let value = self.values.get_attr(&name)?;
        match value.is_undefined() {
            true => Err(raised(format!("there is no {name} to format"))),
            false => Ok(value),
        }
    }

    fn is_used_up(&self) -> bool {
        // Whatever has items by a key may have those that nobody has asked for.
        let kind = self.values.kind();
        let is_tuple = self.values.downcast_object_ref::<Tuple>().is_some();
        let has_items = matches!(kind, ValueKind::Map | ValueKind::Seq | ValueKind::Undefined);
        self.n_taken >= self.items.len() || (has_items && !is_tuple)
    }
}

impl Spec {
    fn read(chars: &mut Peekable<Chars>, args: &mut Args<'_>) -> Result<Spec, Error> {
        let mut spec = Spec::default();
        while let Some(flag) = chars.next_if(|c| "-0+ #".contains(*c)) {
            match flag {
                '-' => spec.is_left = true,
                '0' => spec.is_zeroed = true,
                '+' => spec.has_sign = true,
                ' ' => spec.has_blank = true,
                _ => spec.is_alternate = true,
            }
        }
        spec.width = count(chars, args)?.unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(count(chars, args)?.unwrap_or(0));
        }
        while chars.next_if(|c| "hlL".contains(*c)).is_some() {}
        Ok(spec)
    }

    /// The value in the form that the letter asks for, with its sign.
    fn written(&self, letter: char, value: &Value) -> Result<String, Error> {
        let number = || {
            let number = Number::of(value);
            number.ok_or_else(|| raised(format!("%{letter} formats numbers, not {}", value.kind())))
        };
        Ok(match letter {
            's' | 'r' | 'a' => {
                let all = if letter == 's' { text(value) } else { repr(value) };
                all.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
            }
            'c' => match (value.as_str(), Number::of(value)) {
                (Some(text), _) if text.chars().count() == 1 => text.to_owned(),
                (_, Some(Number::Int(int))) => {
                    let c = u32::try_from(int).ok().and_then(char::from_u32);
                    c.ok_or_else(|| raised("%c formats characters"))?.to_string()
                }
                _ => return Err(raised("%c formats characters")),
            },
            'd' | 'i' | 'u' | 'o' | 'x' | 'X' => {
                let int = match (number()?, letter) {
                    (Number::Int(int), _) => int,
                    (Number::Float(float), 'd' | 'i' | 'u') => float as i128,
                    _ => return Err(raised(format!("%{letter} formats integers"))),
                };
                let (digits, prefix) = match letter {
                    'o' => (format!("{:o}", int.unsigned_abs()), "0o"),
                    'x' => (format!("{:x}", int.unsigned_abs()), "0x"),
                    'X' => (format!("{:X}", int.unsigned_abs()), "0X"),
                    _ => (int.unsigned_abs().to_string(), ""),
                };
                let zeros = "0".repeat(self.precision.unwrap_or(0).saturating_sub(digits.len()));
                let prefix = if self.is_alternate { prefix } else { "" };
                self.signed(int < 0, prefix.to_owned() + &zeros + &digits)
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let number = number()?.as_float();
                let digits = self.float(letter.to_ascii_lowercase(), number.abs());
                let digits = if letter.is_uppercase() { digits.to_uppercase() } else { digits };
                self.signed(number.is_sign_negative(), digits)
            }
            letter => return Err(raised(format!("unsupported format character {letter}"))),
        })
    }

    fn signed(&self, is_negative: bool, digits: String) -> String {
        let sign = match is_negative {
            true => "-",
            false if self.has_sign => "+",
            false if self.has_blank => " ",
            false => "",
        };
        sign.to_owned() + &digits
    }

    /// The digits of a number that has no sign.
    fn float(&self, letter: char, number: f64) -> String {
        let precision = self.precision.unwrap_or(6).min(MAX_DIGITS);
        if !number.is_finite() {
            return float(number);
        }
        match letter {
            'f' => format!("{number:.precision$}"),
            'e' => scientific(number, precision),
            _ => {
                // As many digits as the precision says, without zeros at the end.
                let precision = precision.max(1);
                let (digits, exponent) = parts(number, precision - 1);
                match exponent {
                    exponent if exponent < -4 || exponent >= precision as i32 => {
                        format!("{}e{exponent:+03}", trimmed(digits))
                    }
                    exponent => {
                        let behind = (precision as i32 - 1 - exponent).max(0) as usize;
                        trimmed(format!("{number:.behind$}"))
                    }
                }
            }
        }
    }

    /// To the width, with blanks or zeros.
    fn padded(&self, letter: char, written: String) -> String {
        let missing = self.width.saturating_sub(written.chars().count());
        if self.is_left {
            return written + &" ".repeat(missing);
        }
        if !self.is_zeroed || "srac".contains(letter) {
            return " ".repeat(missing) + &written;
        }
        let at = written.find(|c: char| !"+- ".contains(c)).unwrap_or(0);
        [&written[..at], &"0".repeat(missing), &written[at..]].concat()
    }
}

/// A count in digits, or from the arguments where it is `*`.
fn count(chars: &mut Peekable<Chars>, args: &mut Args<'_>) -> Result<Option<usize>, Error> {
    if chars.next_if_eq(&'*').is_some() {
        let count = args.next()?.as_usize();
        return count.map(Some).ok_or_else(|| raised("* wants an integer"));
    }
    let mut count: Option<usize> = None;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        count = Some(count.unwrap_or(0).saturating_mul(10).saturating_add(digit as usize));
    }
    Ok(count)
}

/// A number as digits with a point behind the first, and its exponent.
fn parts(number: f64, n_behind: usize) -> (String, i32) {
    let written = format!("{number:.n_behind$e}");
    let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    (digits.to_owned(), exponent.parse().unwrap_or(0))
}

fn scientific(number: f64, n_behind: usize) -> String {
    let (digits, exponent) = parts(number, n_behind);
    format!("{digits}e{exponent:+03}")
}

/// Without zeros at the end that say nothing.
fn trimmed(digits: String) -> String {
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits,
    }
}
