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

/// Takes the time and counts the weights that are read, with pauses.
#[derive(Clone, Copy, Default)]
pub(super) struct Clock {
    /// The moment from which it runs, and the bytes of weights that all steps had read then.
    running: Option<(Instant, u64)>,
    /// What it had counted at its last pause.
    duration: Duration,
    weight_bytes: u64,
}

impl Clock {
    /// One that runs from now on, when all steps so far have read `weight_bytes`.
    pub fn started(weight_bytes: u64) -> Clock {
        let mut clock = Clock::default();
        clock.start(weight_bytes);
        clock
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Goes on, when all steps so far have read `weight_bytes`.
    pub fn start(&mut self, weight_bytes: u64) {
        self.running = Some((Instant::now(), weight_bytes));
    }

    /// Stops for a while, when all steps so far have read `weight_bytes`.
    pub fn pause(&mut self, weight_bytes: u64) {
        if let Some((start, bytes_before)) = self.running.take() {
            self.duration += start.elapsed();
            self.weight_bytes += weight_bytes - bytes_before;
        }
    }

    /// The speed of `n_tokens` while it ran, when all steps so far have read `weight_bytes`.
    pub fn speed(mut self, n_tokens: usize, weight_bytes: u64) -> Speed {
        self.pause(weight_bytes);
        Speed { n_tokens, duration: self.duration, weight_bytes: self.weight_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_do_not_count() {
        let mut clock = Clock::started(100);
        clock.pause(150);
        clock.pause(170);
        assert!(!clock.is_running());
        let paused = clock.speed(7, 180);
        assert_eq!((paused.n_tokens, paused.weight_bytes), (7, 50));
        clock.start(300);
        let speed = clock.speed(9, 310);
        assert_eq!((speed.n_tokens, speed.weight_bytes), (9, 60));
        assert!(speed.duration >= paused.duration);
    }
}
