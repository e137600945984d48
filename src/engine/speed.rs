//! How fast tokens are read and made.

use crate::model::Logits;
use std::ops::{AddAssign, Sub};
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
    /// Bytes read meanwhile from the disk itself, of a model that is larger than memory.
    pub disk_bytes: u64,
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

    /// Bytes read from the disk for each token; 0 for none.
    pub fn disk_bytes_per_token(&self) -> f64 {
        if self.n_tokens > 0 { self.disk_bytes as f64 / self.n_tokens as f64 } else { 0.0 }
    }

    fn per_second(&self, amount: f64) -> f64 {
        let seconds = self.duration.as_secs_f64();
        if seconds > 0.0 { amount / seconds } else { 0.0 }
    }
}

/// Bytes that steps have read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Traffic {
    /// Of weights, wherever they were.
    pub weight_bytes: u64,
    /// From the disk itself.
    pub disk_bytes: u64,
}

impl Traffic {
    /// That of a step.
    pub fn of(logits: &Logits) -> Traffic {
        Traffic { weight_bytes: logits.weight_bytes, disk_bytes: logits.disk_bytes }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Traffic) {
        self.weight_bytes += more.weight_bytes;
        self.disk_bytes += more.disk_bytes;
    }
}

impl Sub for Traffic {
    type Output = Traffic;

    fn sub(self, before: Traffic) -> Traffic {
        Traffic {
            weight_bytes: self.weight_bytes - before.weight_bytes,
            disk_bytes: self.disk_bytes - before.disk_bytes,
        }
    }
}

/// Takes the time and counts the bytes that are read, with pauses.
#[derive(Clone, Copy, Default)]
pub(super) struct Clock {
    /// The moment from which it runs, and what all steps had read then.
    running: Option<(Instant, Traffic)>,
    /// What it had counted at its last pause.
    duration: Duration,
    traffic: Traffic,
}

impl Clock {
    /// One that runs from now on, when all steps so far have read `traffic`.
    pub fn started(traffic: Traffic) -> Clock {
        let mut clock = Clock::default();
        clock.start(traffic);
        clock
    }

    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Goes on, when all steps so far have read `traffic`.
    pub fn start(&mut self, traffic: Traffic) {
        self.running = Some((Instant::now(), traffic));
    }

    /// Stops for a while, when all steps so far have read `traffic`.
    pub fn pause(&mut self, traffic: Traffic) {
        if let Some((start, before)) = self.running.take() {
            self.duration += start.elapsed();
            self.traffic += traffic - before;
        }
    }

    /// The speed of `n_tokens` while it ran, when all steps so far have read `traffic`.
    pub fn speed(mut self, n_tokens: usize, traffic: Traffic) -> Speed {
        self.pause(traffic);
        let Traffic { weight_bytes, disk_bytes } = self.traffic;
        Speed { n_tokens, duration: self.duration, weight_bytes, disk_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(weight_bytes: u64) -> Traffic {
        Traffic { weight_bytes, disk_bytes: weight_bytes / 2 }
    }

    #[test]
    fn pauses_do_not_count() {
        let mut clock = Clock::started(traffic(100));
        clock.pause(traffic(150));
        clock.pause(traffic(170));
        assert!(!clock.is_running());
        let paused = clock.speed(7, traffic(180));
        assert_eq!((paused.n_tokens, paused.weight_bytes), (7, 50));
        clock.start(traffic(300));
        let speed = clock.speed(9, traffic(310));
        assert_eq!((speed.n_tokens, speed.weight_bytes, speed.disk_bytes), (9, 60, 30));
        assert!(speed.duration >= paused.duration);
    }
}
