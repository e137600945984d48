//! AVX-512 (F, BW, VL and DQ), with the integer dot products of VNNI where the CPU has them.
//!
//! Everything is built on one picture: a 512-bit register is four lanes of sixteen bytes, and each
//! lane holds sixteen weights of another block ([`unpack`]). The four blocks follow each other in a
//! row, or belong to four rows, as the kernel likes. GEMV, for a few tokens ([`rows`]), takes four
//! rows at a time straight from the packed weights; GEMM ([`tiles`]) unpacks a tile of rows once,
//! into registers that have the same columns of sixteen rows ([`transpose`]), and multiplies it with
//! all tokens. Blocks with a codebook are decoded before ([`codebook`]).

pub(super) mod codebook;
mod dot;
pub(super) mod headers;
mod lanes;
mod peak;
pub(super) mod prefetch;
mod rows;
pub(super) mod tiles;
pub(super) mod transpose;
pub(super) mod unpack;

use crate::format::{Flat, Super};
use crate::product::Product;
use dot::{IntegerDot, Plain, Vnni};
use lanes::Avx512Lanes;
use std::arch::is_x86_feature_detected as has;
use tiles::flat::FlatTile;
use tiles::super_block::SuperTile;

crate::isa::stamp::stamp_vector_functions!(
    Avx512Lanes,
    [#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]]
);

/// Whether this CPU can run this module's functions.
pub fn is_available() -> bool {
    has!("avx512f")
        && has!("avx512bw")
        && has!("avx512vl")
        && has!("avx512dq")
        && has!("avx2")
        && has!("fma")
        && has!("f16c")
}

/// The kernel of legacy formats: GEMV for one or two tokens, GEMM for more.
///
/// # Safety
/// The CPU must have this module's features and those of `D`.
#[inline(always)]
unsafe fn flat<F: Flat, D: IntegerDot>(product: Product<'_, F>) {
    // SAFETY: the caller's promise.
    unsafe {
        match product.n_tokens() {
            0 => {}
            1 => rows::flat::multiply::<F, D, 1>(product),
            2 => rows::flat::multiply::<F, D, 2>(product),
            _ => tiles::multiply::<F, FlatTile<F, D>>(product),
        }
    }
}

/// The kernel of K-quants: GEMV for one to three tokens, GEMM for more.
///
/// # Safety
/// The CPU must have this module's features and those of `D`.
#[inline(always)]
unsafe fn super_block<F: Super, D: IntegerDot>(product: Product<'_, F>) {
    // SAFETY: the caller's promise.
    unsafe {
        match product.n_tokens() {
            0 => {}
            1 => rows::super_block::multiply::<F, D, 1>(product),
            2 => rows::super_block::multiply::<F, D, 2>(product),
            3 => rows::super_block::multiply::<F, D, 3>(product),
            _ => tiles::multiply::<F, SuperTile<F, D>>(product),
        }
    }
}

/// Stamps a family's kernel with and without VNNI, and the function that chooses.
macro_rules! stamp_product {
    ($multiply:ident, $with_vnni:ident, $plain:ident, $family:ident, $kernel:ident) => {
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        pub fn $multiply<F: $family>(product: Product<'_, F>) {
            if has!("avx512vnni") {
                // SAFETY: the CPU has VNNI, and the rest is this function's own.
                unsafe { $with_vnni(product) }
            } else {
                $plain(product)
            }
        }

        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,avx512vnni")]
        fn $with_vnni<F: $family>(product: Product<'_, F>) {
            // SAFETY: this function enables what the kernel needs.
            unsafe { $kernel::<F, Vnni>(product) }
        }

        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        fn $plain<F: $family>(product: Product<'_, F>) {
            // SAFETY: this function enables what the kernel needs.
            unsafe { $kernel::<F, Plain>(product) }
        }
    };
}

stamp_product!(multiply_flat, multiply_flat_vnni, multiply_flat_plain, Flat, flat);
stamp_product!(multiply_super, multiply_super_vnni, multiply_super_plain, Super, super_block);

/// Probe of the int8 peak; see [`crate::Isa::int8_peak`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub fn int8_peak() -> u64 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,avx512vnni")]
    fn with_vnni() -> u64 {
        // SAFETY: this function enables what it needs.
        unsafe { peak::int8_peak::<Vnni>() }
    }
    if has!("avx512vnni") {
        // SAFETY: the CPU has VNNI, and the rest is this function's own.
        unsafe { with_vnni() }
    } else {
        // SAFETY: this function enables what it needs.
        unsafe { peak::int8_peak::<Plain>() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::for_each_format;
    use crate::isa::kernel_check::{check, skip};
    use crate::isa::scalar;

    fn check_flat<F: Flat>() {
        // SAFETY: the test has asked for the features.
        check::<F>(|product| unsafe { multiply_flat_plain(product) }, scalar::multiply_flat);
    }

    fn check_super<F: Super>() {
        // SAFETY: the test has asked for the features.
        check::<F>(|product| unsafe { multiply_super_plain(product) }, scalar::multiply_super);
    }

    #[test]
    fn without_vnni_the_bits_are_the_same() {
        if !is_available() {
            return skip("AVX-512 kernels without VNNI");
        }
        for_each_format!(_, check_flat, check_super);
    }
}
