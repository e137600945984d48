//! Progress bars, on stderr. They draw themselves only on a terminal.

use crate::inspect::decimal;
use indicatif::style::ProgressTracker;
use indicatif::{
    MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState, ProgressStyle,
};
use std::fmt::Write;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// The bars that share the screen.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// What takes less needs no bar.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bar over things that are counted: `12/32 windows, 40s left`. `unit` is their name.
pub fn progress_bar(len: usize, unit: &'static str) -> ProgressBar {
    let style = style("{bar:30} {pos}/{len} {prefix}, {eta} left  {msg}");
    BARS.add(ProgressBar::new(len as u64)).with_style(style).with_prefix(unit)
}

/// A bar over an amount, with its rate: `12.3 G of 46.7 G weights, 310.5 M/s, 2m left`. `unit` is
/// `bytes` or `weights`.
pub fn amount_bar(len: u64, unit: &'static str) -> ProgressBar {
    let style = style("{bar:30} {done} of {total} {prefix}, {rate}/s, {eta} left  {msg}")
        .with_key("done", figure(|state| decimal(state.pos())))
        .with_key("total", figure(|state| decimal(state.len().unwrap_or(0))))
        .with_key("rate", figure(|state| decimal(state.per_sec() as u64)));
    BARS.add(ProgressBar::new(len)).with_style(style).with_prefix(unit)
}

/// Shows how far a file has been read that takes more than a moment:
/// `reading mixtral.gguf: 3.1 of 26.4 GB`. What it returns is told these two, in bytes.
pub fn reading(name: String) -> impl FnMut(u64, u64) + Send + 'static {
    let start = Instant::now();
    let mut bar = None;
    move |n_read, n_bytes| {
        if start.elapsed() < PATIENCE {
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            let tenths = |n_bytes: u64| format!("{:.1}", n_bytes as f64 / 1e9);
            let style = style("{bar:30} reading {prefix}: {done} of {total} GB")
                .with_key("done", figure(move |state| tenths(state.pos())))
                .with_key("total", figure(move |state| tenths(state.len().unwrap_or(0))));
            let bar = ProgressBar::new(n_bytes).with_finish(ProgressFinish::AndClear);
            BARS.add(bar).with_style(style).with_prefix(name.clone())
        });
        bar.set_position(n_read);
    }
}

/// Takes all bars off the screen, for what is printed from now on.
pub fn hide() {
    // A terminal that cannot be drawn on has no bars.
    let _ = BARS.clear();
    BARS.set_draw_target(ProgressDrawTarget::hidden());
}

/// Lets bars be seen again after [`hide`].
pub fn show() {
    BARS.set_draw_target(ProgressDrawTarget::stderr());
}

/// A bar over bytes whose figures say nothing to the reader: the message says what counts.
pub fn bytes_bar(len: u64) -> ProgressBar {
    BARS.add(ProgressBar::new(len)).with_style(style("{bar:30} {msg}, {eta} left"))
}

/// A count of what has no known end.
pub fn counter(unit: &'static str) -> ProgressBar {
    ProgressBar::no_length().with_style(style("{pos} {prefix}")).with_prefix(unit)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a valid template")
}

fn figure(
    of: impl Fn(&ProgressState) -> String + Copy + Send + Sync + 'static,
) -> impl ProgressTracker + 'static {
    move |state: &ProgressState, out: &mut dyn Write| {
        // A tracker has no way to report an error, and a bar without a figure is none.
        let _ = out.write_str(&of(state));
    }
}
