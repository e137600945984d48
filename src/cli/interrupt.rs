//! Signals.

use anyhow::{Context, Result};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a program that was interrupted, as shells have it for Ctrl-C.
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

/// As [`watch`], and the same for SIGTERM, by which systems end what runs in the background. SIGHUP
/// stays what it is: `nohup` has it ignored.
pub fn watch_with_termination(flag: &Arc<AtomicBool>) -> Result<()> {
    #[cfg(unix)]
    {
        use signal_hook::consts::SIGTERM;
        use signal_hook::flag;
        flag::register_conditional_shutdown(SIGTERM, INTERRUPTED.into(), Arc::clone(flag))
            .and_then(|_| flag::register(SIGTERM, Arc::clone(flag)))
            .context("cannot watch for SIGTERM")?;
    }
    watch(flag)
}

/// Makes a file that reaches the limit on its size (`ulimit -f`) an error of who writes it, like a
/// full disk. By default, the system ends the program without a word.
pub fn outlive_file_limits() {
    // Where there is no handler to be had, the default remains.
    #[cfg(unix)]
    let _ =
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}
