//! How fast tokens are read and made.

use std::time::{Duration, Instant};

/// Tokens in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Tokens.
    pub n_tokens: usize,
    /// The time they took.
    pub duration: Duration,
    /// Bytes of weights read meanwhile.
    pub weight_bytes: u64,
}

impl Speed {
    /// Tokens per second; 0 for none.
    pub fn tokens_per_second(&self) -> f64 {
        self.per_second(self.n_tokens as f64)
    }

    /// Bytes of weights per second; 0 for none.
    pub fn bytes_per_second(&self) -> f64 {
        self.per_second(self.weight_bytes as f64)
    }

    fn per_second(&self, amount: f64) -> f64 {
        let seconds = self.duration.as_secs_f64();
        if seconds > 0.0 { amount / seconds } else { 0.0 }
    }
}

/// A moment from which a speed is taken.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: Instant,
    weight_bytes: u64,
}

impl Clock {
    /// Now, when all steps so far have read `weight_bytes`.
    pub fn start(weight_bytes: u64) -> Clock {
        Clock { start: Instant::now(), weight_bytes }
    }

    /// The speed of `n_tokens` since then, when all steps so far have read `weight_bytes`.
    pub fn stop(self, n_tokens: usize, weight_bytes: u64) -> Speed {
        let weight_bytes = weight_bytes - self.weight_bytes;
        Speed { n_tokens, duration: self.start.elapsed(), weight_bytes }
    }
}
