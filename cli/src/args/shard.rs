//! Which part of the work.

use crate::jobs::{Part, Shard, ShardError};
use crate::terminal::print_note;
use gatefold::text::count;
use std::env;

/// The shard that a flag names, or the queue in which this runs.
///
/// # Errors
/// If neither does.
pub fn shard(text: &str) -> Result<Shard, ShardError> {
    Shard::parse(text, |variable| env::var(variable).ok())
}

/// Says how much of the work a shard is.
pub fn tell_part(part: Option<&Part>, what: &str) {
    if let Some(Part { shard, n_all, n_own, .. }) = part {
        let all = count(*n_all as usize, what);
        print_note(format_args!("shard {shard}: {n_own} of {all}"));
    }
}

/// Says that the results of a shard are not whole yet, where some may come of another run.
pub fn tell_unlucky(shard: Option<Shard>, n_rows: usize, what: &str) {
    if let Some(shard) = shard.filter(|_| n_rows > 0) {
        let rows = count(n_rows, what);
        print_note(format_args!(
            "shard {shard} is not done: {rows} failed through no fault of their own; the same command tries again"
        ));
    }
}
