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

mod peak;
mod registers;
mod tiles;

// All that is not defined here.
pub use super::avx512::*;

use super::avx512;
use crate::format::{Flat, Super};
use crate::product::Product;
pub use peak::int8_peak;
use std::arch::is_x86_feature_detected as has;
use tiles::flat::FlatTile;
use tiles::super_block::SuperTile;

/// Tokens from which on this is faster than AVX-512, for legacy formats.
const MIN_TOKENS_FLAT: usize = 16;
/// Tokens from which on this is faster than AVX-512, for K-quants, which cost more to unpack.
const MIN_TOKENS_SUPER: usize = 32;

/// Whether this CPU can run this module's functions, and the operating system lets it.
pub fn is_available() -> bool {
    avx512::is_available() && has!("avx512vnni") && registers::are_available()
}

/// See [`Flat`] for the sum.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub fn multiply_flat<F: Flat>(product: Product<'_, F>) {
    if product.n_tokens() < MIN_TOKENS_FLAT {
        return avx512::multiply_flat(product);
    }
    // SAFETY: an `Isa` of this kind exists only where `is_available` said so.
    unsafe { avx512::tiles::multiply::<F, FlatTile<F>>(product) }
}

/// See [`Super`] for the sum.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    if product.n_tokens() < MIN_TOKENS_SUPER {
        return avx512::multiply_super(product);
    }
    // SAFETY: an `Isa` of this kind exists only where `is_available` said so.
    unsafe { avx512::tiles::multiply::<F, SuperTile<F>>(product) }
}
