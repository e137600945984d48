//! Random numbers, the same in every run.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// A source of random numbers.
pub struct Random(ChaCha8Rng);

impl Random {
    /// The beginning of one of many independent streams.
    pub fn new(stream: u64) -> Random {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        rng.set_stream(stream);
        Random(rng)
    }

    /// A number from 0 to `n - 1`.
    pub fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.0.next_u32()) * u64::from(n)) >> 32) as u32
    }

    /// Token ids.
    pub fn ids(&mut self, n: usize, n_vocab: usize) -> Vec<u32> {
        (0..n).map(|_| self.below(n_vocab as u32)).collect()
    }

    /// Numbers with mean 0 and this standard deviation, bell-shaped: sums of four uniform ones.
    pub fn bell_shaped(&mut self, n: usize, deviation: f32) -> Vec<f32> {
        // The variance of a number from -0.5..0.5 is a twelfth.
        let scale = deviation * 3f32.sqrt();
        let mut uniform = || (self.0.next_u32() >> 8) as f32 / (1 << 24) as f32 - 0.5;
        (0..n).map(|_| scale * (uniform() + uniform() + uniform() + uniform())).collect()
    }
}
