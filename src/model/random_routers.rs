//! Routers that have learnt nothing: what chance makes of the same hidden states.

use super::weights::Matrix;
use crate::architecture::Config;
use crate::gguf::Bytes;
use gatefold_quant::DynFormat;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::f64::consts::TAU;

/// Some random routers for each layer: matrices of the router's shape, of normally distributed
/// weights. They see what the model's own router sees, and their choices change nothing.
#[derive(Clone, Debug)]
pub struct RandomRouters {
    n_routers: usize,
    n_experts: usize,
    dim: usize,
    /// The weights of all layers. Those of a layer begin [`LAYER_STRIDE`] values behind those of the
    /// layer before: the same numbers, but each met by another value of the hidden state.
    weights: Bytes,
}

/// No multiple of any width.
const LAYER_STRIDE: usize = 97;

impl RandomRouters {
    /// `n_routers` for each layer of a model.
    pub fn new(config: &Config, n_routers: usize, seed: u64) -> RandomRouters {
        let (n_experts, dim) = (config.n_experts, config.dim);
        let n_weights = n_routers * n_experts * dim + config.n_layers * LAYER_STRIDE;
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let weights = (0..n_weights).flat_map(|_| normal(&mut random).to_le_bytes());
        let weights = Bytes::from(weights.collect::<Vec<u8>>());
        RandomRouters { n_routers, n_experts, dim, weights }
    }

    /// Routers per layer.
    pub fn n_routers(&self) -> usize {
        self.n_routers
    }

    /// Experts of each.
    pub fn n_experts(&self) -> usize {
        self.n_experts
    }

    /// Those of a layer, one below the other: `[n_routers * n_experts, dim]`.
    pub(super) fn layer(&self, layer_idx: usize) -> Matrix {
        let (rows, cols) = (self.n_routers * self.n_experts, self.dim);
        let start = layer_idx * LAYER_STRIDE * size_of::<f32>();
        let bytes = self.weights.slice(start..start + rows * cols * size_of::<f32>());
        let format = DynFormat::by_name("F32").expect("a format of ours");
        Matrix { format, rows, cols, bytes, bias: None }
    }
}

/// A normally distributed number, by Box and Muller's method.
fn normal(random: &mut ChaCha8Rng) -> f32 {
    let mut uniform = || (f64::from(random.next_u32()) + 0.5) / 2f64.powi(32);
    let (radius, angle) = (uniform(), uniform());
    ((-2.0 * libm::log(radius)).sqrt() * libm::cos(TAU * angle)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_normal() {
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let numbers: Vec<f64> = (0..10_000).map(|_| f64::from(normal(&mut random))).collect();
        let mean = numbers.iter().sum::<f64>() / 1e4;
        let variance = numbers.iter().map(|number| number * number).sum::<f64>() / 1e4;
        let beyond = numbers.iter().filter(|number| number.abs() > 1.96).count();
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        assert!((430..570).contains(&beyond), "{beyond} of 10000, where 500 are due");
    }
}
