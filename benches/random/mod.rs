//! Random weights and activations, the same in every run.

/// A source of random numbers: splitmix64.
pub struct Random(u64);

impl Random {
    /// The beginning of a stream.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number from 0 to 1.
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 24) as f32
    }

    /// Numbers with mean 0 and this standard deviation, bell-shaped: sums of four uniform ones.
    pub fn bell_shaped(&mut self, n: usize, deviation: f32) -> Vec<f32> {
        // The variance of a number from -0.5..0.5 is a twelfth.
        let scale = deviation * 3f32.sqrt();
        let mut sum = || (0..4).map(|_| self.uniform() - 0.5).sum::<f32>();
        (0..n).map(|_| scale * sum()).collect()
    }
}
