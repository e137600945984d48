//! Ctrl-C.

use anyhow::{Context, Result};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a program that Ctrl-C ended, as shells have it.
pub const INTERRUPTED: u8 = 130;

/// Lets Ctrl-C set the flag. While it is set, another one ends the program: a large model takes a
/// while until it looks up from its prompt.
pub fn watch(flag: &Arc<AtomicBool>) -> Result<()> {
    let flag = Arc::clone(flag);
    let on_signal = move || {
        if flag.swap(true, Ordering::Relaxed) {
            process::exit(INTERRUPTED.into());
        }
    };
    ctrlc::set_handler(on_signal).context("cannot watch for Ctrl-C")
}
