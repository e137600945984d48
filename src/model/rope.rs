//! Rotary position embedding (arXiv 2104.09864) over interleaved pairs, as GGUF's `llama` files
//! and Mistral's own have it.

use crate::architecture::RopeConfig;

/// The frequencies of a model's rotary position embedding (RoPE).
pub struct Rope {
    /// Radians per position, one per pair.
    frequencies: Vec<f64>,
}

/// The rotation of one position's queries and keys: a cosine and a sine per pair.
pub struct Rotation(Vec<(f32, f32)>);

impl Rope {
    /// Frequencies `base^(-2i / n_dims)`, divided by the linear scale and by `divisors`
    /// (`[n_dims / 2]`), with which files of Llama 3.1 and later stretch the long wavelengths.
    pub fn new(config: &RopeConfig, divisors: Option<&[f32]>) -> Rope {
        let n_pairs = config.n_dims / 2;
        let frequency = |pair: usize| {
            let exponent = -2.0 * pair as f64 / config.n_dims as f64;
            let divisor = divisors.map_or(1.0, |divisors| f64::from(divisors[pair]));
            libm::pow(f64::from(config.base), exponent) / (f64::from(config.scale) * divisor)
        };
        Rope { frequencies: (0..n_pairs).map(frequency).collect() }
    }

    /// The rotations of a position. Computed in f64 by `libm`, so that every platform's are equal.
    pub fn rotation(&self, position: usize) -> Rotation {
        let angles = self.frequencies.iter().map(|frequency| position as f64 * frequency);
        Rotation(angles.map(|angle| (libm::cos(angle) as f32, libm::sin(angle) as f32)).collect())
    }
}

impl Rotation {
    /// Rotates one head's leading pairs in place.
    pub fn apply(&self, head: &mut [f32]) {
        for (pair, (cos, sin)) in head.as_chunks_mut::<2>().0.iter_mut().zip(&self.0) {
            let [x, y] = *pair;
            *pair = [x * cos - y * sin, x * sin + y * cos];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: RopeConfig = RopeConfig { n_dims: 8, base: 10_000.0, scale: 1.0 };

    fn rotated(rope: &Rope, position: usize) -> Vec<f32> {
        let mut head: Vec<f32> = (0..10).map(|i| i as f32).collect();
        rope.rotation(position).apply(&mut head);
        head
    }

    #[test]
    fn position_zero_and_dimensions_past_the_rotated_ones_stay() {
        let rope = Rope::new(&CONFIG, None);
        assert_eq!(rotated(&rope, 0), (0..10).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(rotated(&rope, 77)[8..], [8.0, 9.0]);
    }

    #[test]
    fn first_pair_turns_one_radian_per_position() {
        let head = rotated(&Rope::new(&CONFIG, None), 1);
        assert!((head[0] + 1f32.sin()).abs() < 1e-6 && (head[1] - 1f32.cos()).abs() < 1e-6);
    }

    #[test]
    fn scores_depend_on_distance_alone() {
        let rope = Rope::new(&CONFIG, None);
        let score = |q: usize, k: usize| -> f32 {
            rotated(&rope, q).iter().zip(rotated(&rope, k)).map(|(q, k)| q * k).sum()
        };
        assert!((score(12, 5) - score(107, 100)).abs() < 1e-3);
    }

    #[test]
    fn scale_and_divisors_stretch() {
        let half = Rope::new(&RopeConfig { scale: 2.0, ..CONFIG }, None);
        let plain = Rope::new(&CONFIG, None);
        assert_eq!(rotated(&half, 6), rotated(&plain, 3));
        assert_eq!(rotated(&Rope::new(&CONFIG, Some(&[2.0; 4])), 6), rotated(&plain, 3));
    }
}
