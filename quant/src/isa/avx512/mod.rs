//! Placeholder.

pub use super::scalar::{
    add_scaled, dot, exp_sum, multiply_float, quantize_block, rms_norm, scores, silu_mul,
    weighted_sum, widen,
};
use crate::format::{Flat, Super};
use crate::registry::Product;

pub fn is_available() -> bool {
    false
}

pub fn multiply_flat<F: Flat>(product: Product<'_, F>) {
    super::scalar::multiply_flat(product)
}

pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    super::scalar::multiply_super(product)
}
