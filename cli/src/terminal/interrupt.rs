//! Signals.

use super::{print_note, progress};
use anyhow::{Context, Result};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(unix)]
use std::thread;

/// The exit code of a program that was interrupted, as shells have it for Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// Lets Ctrl-C set the flag. While it is set, another one ends the program: a large model takes a
/// while until it looks up from its prompt.
pub fn watch(flag: &Arc<AtomicBool>) -> Result<()> {
    let flag = Arc::clone(flag);
    watch_for_ctrl_c(move || ask_to_end(&flag))
}

/// Ctrl-C and SIGTERM, by which systems end what runs in the background, as a run has them. SIGHUP
/// stays what it is: `nohup` has it ignored.
#[derive(Clone, Default)]
pub struct Interrupts {
    flag: Arc<AtomicBool>,
    is_heeded: Arc<AtomicBool>,
}

impl Interrupts {
    /// Watches for them. As long as the run only prepares its work, which may be to wait for its
    /// input, either ends the program at once.
    pub fn watch() -> Result<Interrupts> {
        let interrupts = Interrupts::default();
        #[cfg(unix)]
        {
            use signal_hook::{consts::SIGTERM, iterator::Signals};
            let mut signals = Signals::new([SIGTERM]).context("cannot watch for SIGTERM")?;
            let interrupts = interrupts.clone();
            thread::spawn(move || signals.forever().for_each(|_| interrupts.take()));
        }
        let on_signal = interrupts.clone();
        watch_for_ctrl_c(move || on_signal.take())?;
        Ok(interrupts)
    }

    /// Lets them set this flag alone from now on, as [`watch`] does: the work looks at it between its
    /// steps, and what it has done is kept.
    pub fn heed(&self) -> Arc<AtomicBool> {
        self.is_heeded.store(true, Ordering::Relaxed);
        Arc::clone(&self.flag)
    }

    fn take(&self) {
        if !self.is_heeded.load(Ordering::Relaxed) {
            progress::hide();
            print_note("stopped before the work began");
            end();
        }
        ask_to_end(&self.flag);
    }
}

/// Ends the program as Ctrl-C does.
pub fn end() -> ! {
    process::exit(INTERRUPTED.into())
}

fn watch_for_ctrl_c(on_signal: impl FnMut() + Send + 'static) -> Result<()> {
    ctrlc::set_handler(on_signal).context("cannot watch for Ctrl-C")
}

fn ask_to_end(flag: &AtomicBool) {
    if flag.swap(true, Ordering::Relaxed) {
        end();
    }
}

/// Makes a file that reaches the limit on its size (`ulimit -f`) an error of who writes it, like a
/// full disk. By default, the system ends the program without a word.
pub fn outlive_file_limits() {
    // Where there is no handler to be had, the default remains.
    #[cfg(unix)]
    let _ =
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::new(AtomicBool::new(false)));
}
