//! Progress bars, on stderr.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar over `len` of `unit`; it draws itself only on a terminal.
pub fn progress_bar(len: usize, unit: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {prefix}, {eta} left  {msg}");
    let bar = ProgressBar::new(len as u64).with_style(style.expect("a valid template"));
    bar.with_prefix(unit.to_owned())
}
