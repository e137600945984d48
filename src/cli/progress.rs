//! Progress bars, on stderr. They draw themselves only on a terminal.

use crate::inspect::decimal;
use indicatif::style::ProgressTracker;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use std::fmt::Write;

/// A bar over things that are counted: `12/32 windows, 40s left`. `unit` is their name.
pub fn progress_bar(len: usize, unit: &'static str) -> ProgressBar {
    let style = style("{bar:30} {pos}/{len} {prefix}, {eta} left  {msg}");
    ProgressBar::new(len as u64).with_style(style).with_prefix(unit)
}

/// A bar over an amount, with its rate: `12.3 G of 46.7 G weights, 310.5 M/s, 2m left`. `unit` is
/// `bytes` or `weights`.
pub fn amount_bar(len: u64, unit: &'static str) -> ProgressBar {
    let style = style("{bar:30} {done} of {total} {prefix}, {rate}/s, {eta} left  {msg}")
        .with_key("done", figure(ProgressState::pos))
        .with_key("total", figure(|state| state.len().unwrap_or(0)))
        .with_key("rate", figure(|state| state.per_sec() as u64));
    ProgressBar::new(len).with_style(style).with_prefix(unit)
}

/// A bar over bytes whose figures say nothing to the reader: the message says what counts.
pub fn bytes_bar(len: u64) -> ProgressBar {
    ProgressBar::new(len).with_style(style("{bar:30} {msg}, {eta} left"))
}

/// A count of what has no known end.
pub fn counter(unit: &'static str) -> ProgressBar {
    ProgressBar::no_length().with_style(style("{pos} {prefix}")).with_prefix(unit)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a valid template")
}

fn figure(of: fn(&ProgressState) -> u64) -> impl ProgressTracker + 'static {
    move |state: &ProgressState, out: &mut dyn Write| {
        // A tracker has no way to report an error, and a bar without a figure is none.
        let _ = out.write_str(&decimal(of(state)));
    }
}
