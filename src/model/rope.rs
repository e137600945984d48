//! Rotary position embedding (arXiv 2104.09864) over interleaved pairs, as GGUF's `llama` files
//! and Mistral's own have it.

use crate::architecture::{RopeConfig, RopeScaling, Yarn};
use std::f64::consts::TAU;

/// The rotary position embedding (RoPE) of a model.
pub struct Rope {
    config: RopeConfig,
    divisors: Divisors,
    /// The frequencies of contexts up to the original length, or of all.
    frequencies: Frequencies,
}

/// Divisors of the rotary frequencies, `[n_dims / 2]` each, where a file has them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Divisors {
    /// Those of contexts up to the original length, or of all.
    pub short: Option<Vec<f32>>,
    /// Those of longer contexts, where they are others.
    pub long: Option<Vec<f32>>,
}

/// How a sequence's positions are rotated.
#[derive(Clone, Debug, PartialEq)]
pub struct Frequencies {
    /// Radians per position, one per pair.
    radians: Vec<f64>,
    /// What cosines and sines are multiplied by.
    attention_factor: f64,
}

/// The rotation of one position's queries and keys: a cosine and a sine per pair.
pub struct Rotation(Vec<(f32, f32)>);

impl Rope {
    /// Frequencies `base^(-2i / n_dims)`, scaled as `config` says and divided by the divisors.
    pub fn new(config: &RopeConfig, divisors: Divisors) -> Rope {
        let (config, short) = (config.clone(), divisors.short.as_deref());
        let frequencies = Frequencies::new(&config, f64::from(config.base), short);
        Rope { config, divisors, frequencies }
    }

    /// The frequencies for a context of up to `context_len` tokens. They are those of the context,
    /// not of what a sequence has at the moment: keys that are in the cache keep their rotation.
    pub fn frequencies(&self, context_len: usize) -> Frequencies {
        let base = f64::from(self.config.base);
        match self.config.scaling {
            RopeScaling::Dynamic { factor, original_len } if context_len > original_len => {
                let (factor, n_dims) = (f64::from(factor), self.config.n_dims as f64);
                let stretch = factor * context_len as f64 / original_len as f64 - (factor - 1.0);
                let base = base * libm::pow(stretch, n_dims / (n_dims - 2.0));
                Frequencies::new(&self.config, base, self.divisors.short.as_deref())
            }
            RopeScaling::LongRope { original_len } if context_len > original_len => {
                Frequencies::new(&self.config, base, self.divisors.long.as_deref())
            }
            _ => self.frequencies.clone(),
        }
    }
}

impl Frequencies {
    fn new(config: &RopeConfig, base: f64, divisors: Option<&[f32]>) -> Frequencies {
        let plain = |pair: usize| libm::pow(base, -2.0 * pair as f64 / config.n_dims as f64);
        let divisor = |pair: usize| divisors.map_or(1.0, |divisors| f64::from(divisors[pair]));
        let frequency = |pair: usize| match &config.scaling {
            RopeScaling::Linear { factor } => plain(pair) / (f64::from(*factor) * divisor(pair)),
            RopeScaling::Yarn(yarn) => {
                let kept = yarn.kept(config, pair);
                let stretched = plain(pair) / f64::from(yarn.factor);
                (stretched * (1.0 - kept) + plain(pair) * kept) / divisor(pair)
            }
            _ => plain(pair) / divisor(pair),
        };
        let yarn_factor = match &config.scaling {
            RopeScaling::Yarn(yarn) => Yarn::attention_factor(yarn.factor),
            _ => 1.0,
        };
        Frequencies {
            radians: (0..config.n_dims / 2).map(frequency).collect(),
            attention_factor: yarn_factor * f64::from(config.attention_factor),
        }
    }

    /// The rotations of a position. Computed in f64 by `libm`, so that every platform's are equal.
    pub fn rotation(&self, position: usize) -> Rotation {
        let angles = self.radians.iter().map(|radians| position as f64 * radians);
        let scaled = |value: f64| (value * self.attention_factor) as f32;
        Rotation(angles.map(|angle| (scaled(libm::cos(angle)), scaled(libm::sin(angle)))).collect())
    }
}

impl Yarn {
    /// How much of its own wavelength a pair keeps, from 0 to 1: a ramp between the pairs that turn
    /// `beta_fast` and `beta_slow` times within the original length.
    fn kept(&self, config: &RopeConfig, pair: usize) -> f64 {
        let (n_dims, base) = (config.n_dims as f64, f64::from(config.base));
        let pair_of = |turns: f32| {
            let wavelength = self.original_len as f64 / (f64::from(turns) * TAU);
            n_dims * libm::log(wavelength) / (2.0 * libm::log(base))
        };
        let first = libm::floor(pair_of(self.beta_fast)).max(0.0);
        let last = libm::ceil(pair_of(self.beta_slow)).min(n_dims - 1.0);
        let ramp = (pair as f64 - first) / (last - first).max(0.001);
        1.0 - ramp.clamp(0.0, 1.0)
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

    fn rope(scaling: RopeScaling, short: Option<Vec<f32>>) -> Rope {
        let config = RopeConfig { scaling, ..RopeConfig::plain(8, 10_000.0) };
        Rope::new(&config, Divisors { short, long: Some(vec![4.0; 4]) })
    }

    fn plain() -> Rope {
        rope(RopeScaling::None, None)
    }

    fn rotated_in(rope: &Rope, context_len: usize, position: usize) -> Vec<f32> {
        let mut head: Vec<f32> = (0..10).map(|i| i as f32).collect();
        rope.frequencies(context_len).rotation(position).apply(&mut head);
        head
    }

    fn rotated(rope: &Rope, position: usize) -> Vec<f32> {
        rotated_in(rope, 1000, position)
    }

    #[test]
    fn position_zero_and_dimensions_past_the_rotated_ones_stay() {
        let rope = plain();
        assert_eq!(rotated(&rope, 0), (0..10).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(rotated(&rope, 77)[8..], [8.0, 9.0]);
    }

    #[test]
    fn first_pair_turns_one_radian_per_position() {
        let head = rotated(&plain(), 1);
        assert!((head[0] + 1f32.sin()).abs() < 1e-6 && (head[1] - 1f32.cos()).abs() < 1e-6);
    }

    #[test]
    fn scores_depend_on_distance_alone() {
        let rope = plain();
        let score = |q: usize, k: usize| -> f32 {
            rotated(&rope, q).iter().zip(rotated(&rope, k)).map(|(q, k)| q * k).sum()
        };
        assert!((score(12, 5) - score(107, 100)).abs() < 1e-3);
    }

    #[test]
    fn scale_and_divisors_stretch() {
        let half = rope(RopeScaling::Linear { factor: 2.0 }, None);
        assert_eq!(rotated(&half, 6), rotated(&plain(), 3));
        let half = rope(RopeScaling::None, Some(vec![2.0; 4]));
        assert_eq!(rotated(&half, 6), rotated(&plain(), 3));
    }

    #[test]
    fn contexts_beyond_the_original_length_have_frequencies_of_their_own() {
        let long = rope(RopeScaling::LongRope { original_len: 100 }, Some(vec![2.0; 4]));
        assert_eq!(rotated_in(&long, 100, 8), rotated(&plain(), 4));
        assert_eq!(rotated_in(&long, 101, 8), rotated(&plain(), 2));
        let dynamic = rope(RopeScaling::Dynamic { factor: 2.0, original_len: 100 }, None);
        assert_eq!(rotated_in(&dynamic, 100, 8), rotated(&plain(), 8));
        assert_ne!(rotated_in(&dynamic, 101, 8), rotated(&plain(), 8));
    }
}
