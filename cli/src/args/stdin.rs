//! Stdin as a place where text may come from.

use crate::terminal::print_note;
use anyhow::{Context, Result};
use std::io::{self, BufRead, IsTerminal, Read};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Whether text can come from stdin without being asked for: through a pipe, a socket or from a file.
/// A terminal and devices such as `/dev/null` and `NUL` have none, nor has a stdin that was closed.
pub fn is_piped() -> bool {
    #[cfg(unix)]
    {
        use std::fs::File;
        use std::os::fd::AsFd;
        use std::os::unix::fs::FileTypeExt;
        let stdin = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        let kind = stdin.and_then(|stdin| stdin.metadata()).map(|metadata| metadata.file_type());
        kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket() || kind.is_file())
    }
    #[cfg(windows)]
    {
        let kind = winapi_util::file::typ(winapi_util::HandleRef::stdin());
        kind.is_ok_and(|kind| kind.is_pipe() || kind.is_disk())
    }
}

/// What ends a text that is typed, and what has nothing in it, as this system calls them.
const END_OF_TEXT: &str = if cfg!(windows) { "Ctrl-Z and Enter" } else { "Ctrl-D" };
const NOTHING: &str = if cfg!(windows) { "NUL" } else { "/dev/null" };

/// How long nothing may come before that is said.
const PATIENCE: Duration = Duration::from_secs(3);

/// All of stdin, up to its end.
pub fn read_stdin() -> Result<Vec<u8>> {
    await_stdin();
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes).context("cannot read stdin")?;
    Ok(bytes)
}

/// Waits until there is something to read on stdin, which nothing is taken from, or its end.
///
/// Nobody can tell a pipe that nobody will write to from one whose writer is slow (another model, say).
/// To go on without the text would spoil the answer, so this waits, and says so after a while.
pub fn await_stdin() {
    let is_terminal = io::stdin().is_terminal();
    if is_terminal {
        print_note(format_args!(
            "reading the text from the terminal; {END_OF_TEXT} on an empty line ends it"
        ));
    }
    let (arrived, wait) = mpsc::channel::<()>();
    if !is_terminal {
        thread::spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                print_note(format_args!(
                    "waiting for text on stdin; with `< {NOTHING}` there is none"
                ));
            }
        });
    }
    // What is wrong is told by whoever reads.
    let _ = io::stdin().lock().fill_buf();
    drop(arrived);
}
