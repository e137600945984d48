//! Blocks of 32: one scale, and perhaps a minimum.

use super::grid::Grid;
use super::{Minimums, Normalized, Stretches, best_scale, best_scale_and_minimum, saturating_f16};
use crate::format::{FLAT_LEN, Flat};
use half::f16;

/// What a flat block stores.
pub struct FlatFit {
    /// The scale.
    pub scale: f16,
    /// The minimum; 0 for formats without.
    pub minimum: f16,
    /// The bits of the codes.
    pub codes: [u8; FLAT_LEN],
}

/// Fits a block of 32 weights.
pub fn flat<F: Flat>(weights: &[f32], stretches: Stretches) -> FlatFit {
    let grid = const { Grid::of(&F::LAYOUT) };
    let block = Normalized::<FLAT_LEN>::new(weights);
    let (scale, minimum) = if F::HAS_MINIMUM {
        best_scale_and_minimum(&block.x, grid, Minimums::Any, stretches)
    } else {
        (best_scale(&block.x, grid, stretches), 0.0)
    };
    let (stored_scale, scale) = block.stored(scale);
    let stored_minimum = saturating_f16(-minimum * block.magnitude);
    let minimum = -stored_minimum.to_f32() / block.magnitude;
    let mut codes = [0; FLAT_LEN];
    Grid::encode(&F::LAYOUT, &block.x, scale, minimum, &mut codes);
    FlatFit { scale: stored_scale, minimum: stored_minimum, codes }
}
