//! How often, and after how long, a server is asked again.

use crate::terminal::print_note;
use anyhow::{Result, bail};
use indicatif::HumanDuration;
use std::thread;
use std::time::Duration;

/// Times a server is asked again that does not give anything.
const N_TRIES: u32 = 6;

/// A wait that is shorter is not worth a line.
const SHORT: Duration = Duration::from_secs(5);

/// What is left of the patience with a server.
pub struct Patience {
    pause: Duration,
    n_tried: u32,
}

impl Patience {
    /// All of it, with a first pause of so long.
    pub fn new(pause: Duration) -> Patience {
        Patience { pause, n_tried: 0 }
    }

    /// It gave something: that it was cut is nothing.
    pub fn renew(&mut self) {
        self.n_tried = 0;
    }

    /// Waits until it can be asked again: twice as long each time, and at least as long as it says.
    ///
    /// # Errors
    /// If it has been asked often enough.
    pub fn wait(&mut self, what: &str, wait: Option<Duration>) -> Result<()> {
        if self.n_tried == N_TRIES {
            bail!(
                "{what}, and {N_TRIES} times more when asked again; try later: what has come is kept"
            );
        }
        let pause = wait.unwrap_or_default().max(self.pause * 2u32.pow(self.n_tried) / 2);
        self.n_tried += 1;
        if pause >= SHORT {
            print_note(format_args!("note: {what}; asking again in {}", HumanDuration(pause)));
        }
        thread::sleep(pause);
        Ok(())
    }
}
