//! `value[start:stop:step]`.

use super::{Tuple, raised, tuple};
use minijinja::value::ValueKind;
use minijinja::{Error, Value};

/// The part of a text or a list, of which what is not there has none; else undefined.
pub(in super::super) fn slice(
    value: &Value,
    start: &Value,
    stop: &Value,
    step: &Value,
) -> Result<Value, Error> {
    let place = |value: &Value| match value.is_none() {
        true => Ok(None),
        false => i64::try_from(value.clone()).map(|place| Some(i128::from(place))),
    };
    let (start, stop, step) = (place(start)?, place(stop)?, place(step)?.unwrap_or(1));
    if step == 0 {
        return Err(raised("slice step cannot be zero"));
    }
    if let Some(text) = value.as_str() {
        let chars: Vec<char> = text.chars().collect();
        let picked = places(chars.len(), start, stop, step).map(|idx| chars[idx]);
        return Ok(picked.collect::<String>().into());
    }
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            let picked = places(items.len(), start, stop, step).map(|idx| items[idx].clone());
            Ok(match value.downcast_object_ref::<Tuple>() {
                Some(_) => tuple(picked),
                None => picked.collect(),
            })
        }
        ValueKind::Undefined => Ok(Vec::<Value>::new().into()),
        _ => Ok(Value::UNDEFINED),
    }
}

/// The places of `len` that a slice has, in its order.
fn places(
    len: usize,
    start: Option<i128>,
    stop: Option<i128>,
    step: i128,
) -> impl Iterator<Item = usize> {
    let len = len as i128;
    // What lies beyond the first and the last place on the way.
    let (lowest, highest) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let bounded = |place: i128| match place {
        place if place < 0 => (place + len).max(lowest),
        place => place.min(highest),
    };
    let (first, end) = if step > 0 { (lowest, highest) } else { (highest, lowest) };
    let (first, end) = (start.map_or(first, bounded), stop.map_or(end, bounded));
    let n_steps =
        if step > 0 { (end - first + step - 1) / step } else { (end - first + step + 1) / step };
    (0..n_steps.max(0)).map(move |idx| (first + idx * step) as usize)
}
