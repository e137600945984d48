//! Fitting the scales of a block to its weights, so that rounding loses as little as possible.
//!
//! What is minimized is the plain sum of squared errors: for activations of whose sizes nothing is
//! known, it is what a product with the weights is off by. (llama.cpp without an importance matrix
//! weighs errors by about the weight's square in some formats. Blocks made here are mostly worse
//! by that measure, up to half as much again in Q2_K, and better by what a model makes of them.)
//!
//! The error has a local minimum wherever a weight changes its code, so there is no formula for the
//! best scale: every search here makes a number of tries, assigns each weight its nearest code, and
//! takes the least-squares scale for these codes. What matters is that tries differ in how weights
//! round. A try puts the outermost weights at certain places of the grid: without a minimum the
//! largest one; with a minimum the least and the greatest, each at several places independently,
//! which finds in ten tries more than stretching the grid around its middle finds in a hundred. The
//! tries of each format were found by descent on Gaussian weights and a real model's.
//!
//! Flat blocks then compare with the scale that just covers the weights, as other programs take it:
//! no block is worse than theirs. Super-blocks have a second stage: their sub-scales are integers,
//! so some around the fitted one are tried.
//!
//! Sixteen blocks, or sub-blocks of super-blocks, are searched at once, each in a [`Lanes`] of its
//! own ([`tile`]). Like those of the kernels these are never slices of one sum, so every CPU makes
//! the same bytes; and there is no fused multiply-add, which a CPU without it would have to
//! emulate.
//!
//! [`Lanes`]: crate::vector::Lanes

mod flat;
mod grid;
mod super_block;
mod tile;

pub use flat::flat;
pub use super_block::{SubScales, super_block};

/// The tries of a format's search: where it puts the outermost weights of a block, or of a
/// sub-block, on the grid, in units of its numbers.
///
/// - Without minimums: the largest weight at each of these numbers. Beyond the ends of the grid it
///   is clipped.
/// - With minimums: for each pair of these, the least weight that far above the lowest number and
///   the greatest that far below the highest. Negative ones are clipped.
pub type Tries = &'static [f32];
