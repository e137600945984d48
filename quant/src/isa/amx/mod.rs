//! AMX: AVX-512 with tile registers, whose int8 products are several times as fast as VNNI's.
//!
//! A tile register holds sixteen rows of 64 bytes. One instruction multiplies sixteen tokens'
//! activations with sixteen rows of weights, up to 64 columns deep, into a tile of 32-bit sums;
//! these are stored, and the scales applied to them as elsewhere. Weights are unpacked into the
//! same tiles of 32 rows as in [`super::avx512`], with which this module shares all else: few
//! tokens, and everything that is not a product, are that module's.
//!
//! Intel's server processors since Sapphire Rapids have it. The operating system must be asked for
//! it, once per process; that is done on Linux only.

mod flat_tile;
mod registers;
mod super_tile;

// All that is not defined here.
pub use super::avx512::*;

use super::avx512;
use super::avx512::tile::{HALF_ROWS, Place, multiply_many};
use crate::activations::GROUP_LEN;
use crate::format::{Flat, Super};
use crate::registry::Product;
use flat_tile::FlatTile;
use std::arch::is_x86_feature_detected as has;
use std::ops::Range;
use super_tile::SuperTile;

/// Tokens from which on tiles of tile registers are faster.
const MIN_TOKENS: usize = 5;

/// Whether this CPU can run this module's functions, and the operating system lets it.
pub fn is_available() -> bool {
    avx512::is_available() && has!("avx512vnni") && registers::are_available()
}

/// See [`Flat`] for the sum.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub fn multiply_flat<F: Flat>(product: Product<'_, F>) {
    if product.n_tokens() < MIN_TOKENS {
        return avx512::multiply_flat(product);
    }
    // SAFETY: an `Isa` of this kind exists only where `is_available` said so.
    unsafe { multiply_many::<F, FlatTile<F>>(product) }
}

/// See [`Super`] for the sum.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    if product.n_tokens() < MIN_TOKENS {
        return avx512::multiply_super(product);
    }
    // SAFETY: likewise.
    unsafe { multiply_many::<F, SuperTile<F>>(product) }
}

/// A tile's part of the output for a group that is not full, with room for a full one: kernels know
/// no others.
struct FullGroup([[f32; 2 * HALF_ROWS]; GROUP_LEN]);

impl FullGroup {
    #[inline(always)]
    fn zeros() -> FullGroup {
        FullGroup([[0.0; _]; _])
    }

    /// Where a kernel works on a group of `n_tokens`: in `out` itself, or in here on a copy of it.
    #[inline(always)]
    fn of<'a>(
        &'a mut self,
        at: Place,
        n_tokens: usize,
        out: &'a mut [f32],
    ) -> (Place, &'a mut [f32]) {
        if n_tokens == GROUP_LEN {
            return (at, out);
        }
        let rows = rows(at);
        for (copy, out) in self.0.iter_mut().zip(out.chunks_exact(at.n_rows)) {
            copy[..rows.len()].copy_from_slice(&out[rows.clone()]);
        }
        (Place { n_rows: 2 * HALF_ROWS, first_row: 0, ..at }, self.0.as_flattened_mut())
    }

    /// Puts the copy, if it was made, where it belongs.
    #[inline(always)]
    fn put_back(&self, at: Place, n_tokens: usize, out: &mut [f32]) {
        if n_tokens < GROUP_LEN {
            let rows = rows(at);
            for (copy, out) in self.0.iter().zip(out.chunks_exact_mut(at.n_rows)) {
                out[rows.clone()].copy_from_slice(&copy[..rows.len()]);
            }
        }
    }
}

/// The rows of the matrix that a tile has.
fn rows(at: Place) -> Range<usize> {
    at.first_row..at.n_rows.min(at.first_row + 2 * HALF_ROWS)
}
