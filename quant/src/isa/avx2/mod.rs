//! AVX2 with FMA and F16C: 8 lanes of f32, 32 of bytes; with the dot products of AVX-VNNI where
//! the CPU has them.
//!
//! Without, `vpmaddubsw` multiplies unsigned by signed bytes and adds pairs of products in 16 bits,
//! with saturation. Codes of up to six bits therefore go in as they are, their offset being taken
//! off the integer sum afterwards; eight-bit weights first need a change of sign, or 16 bits.
//!
//! - `lanes`: everything that is not a dot product with weights;
//! - `unpack`: the codes of a block, as bytes; `codebook`: where they come out of a table;
//! - `dot`: the ways to sum products in a tile;
//! - `headers`: the scales of eight super-blocks, unpacked together;
//! - `rows`: GEMV, a few tokens, eight rows of weights at a time, straight from the file's bytes;
//! - `tiles`: GEMM, more tokens, 32 rows unpacked once and multiplied with all of them;
//! - `peak`: what a tile could reach at most.

pub(super) mod codebook;
mod dot;
mod headers;
mod lanes;
mod peak;
mod rows;
mod tiles;
mod unpack;

use crate::format::{Flat, Super};
use crate::product::Product;
use dot::{Bytes, Vnni, Words};
use lanes::Avx2Lanes;
use std::arch::is_x86_feature_detected as has;
use tiles::flat::FlatTile;
use tiles::super_block::SuperTile;

crate::isa::stamp::stamp_vector_functions!(Avx2Lanes, [#[target_feature(enable = "avx2,fma,f16c")]]);

/// Whether this CPU has all that the module uses.
pub fn is_available() -> bool {
    has!("avx2") && has!("fma") && has!("f16c")
}

/// Stamps a family's GEMM kernel, for more than a few tokens, with and without AVX-VNNI.
macro_rules! stamp_tiles {
    ($with_vnni:ident, $plain:ident, $family:ident, $tile:ident) => {
        #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
        fn $with_vnni<F: $family>(product: Product<'_, F>) {
            // SAFETY: this function enables what the kernel needs.
            unsafe { tiles::multiply::<F, $tile<F, Vnni>, Vnni>(product) }
        }

        #[target_feature(enable = "avx2,fma,f16c")]
        fn $plain<F: $family>(product: Product<'_, F>) {
            // SAFETY: this function enables what the kernels need.
            unsafe {
                if const { unpack::is_wide(&F::LAYOUT) } {
                    tiles::multiply::<F, $tile<F, Words>, Words>(product);
                } else {
                    tiles::multiply::<F, $tile<F, Bytes>, Bytes>(product);
                }
            }
        }
    };
}

stamp_tiles!(multiply_flat_vnni, multiply_flat_plain, Flat, FlatTile);
stamp_tiles!(multiply_super_vnni, multiply_super_plain, Super, SuperTile);

/// See [`Flat`] for the sum. From five tokens on a tile is faster, with AVX-VNNI from four.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply_flat<F: Flat>(product: Product<'_, F>) {
    let has_vnni = has!("avxvnni");
    match product.n_tokens() {
        0 => {}
        1 => rows::flat::multiply::<F, 1>(product),
        2 => rows::flat::multiply::<F, 2>(product),
        3 => rows::flat::multiply::<F, 3>(product),
        4 if !has_vnni => rows::flat::multiply::<F, 4>(product),
        // SAFETY: the CPU has VNNI, and the rest is this function's own.
        _ if has_vnni => unsafe { multiply_flat_vnni(product) },
        _ => multiply_flat_plain(product),
    }
}

/// See [`Super`] for the sum. From nine tokens on a tile is faster. Tiles have AVX-VNNI and rows do
/// not: where there is AVX-VNNI they begin at five tokens, which nobody has measured yet.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    let has_vnni = has!("avxvnni");
    match product.n_tokens() {
        0 => {}
        1 => rows::super_block::multiply::<F, 1>(product),
        2 => rows::super_block::multiply::<F, 2>(product),
        3 => rows::super_block::multiply::<F, 3>(product),
        4 => rows::super_block::multiply::<F, 4>(product),
        5 if !has_vnni => rows::super_block::multiply::<F, 5>(product),
        6 if !has_vnni => rows::super_block::multiply::<F, 6>(product),
        7 if !has_vnni => rows::super_block::multiply::<F, 7>(product),
        8 if !has_vnni => rows::super_block::multiply::<F, 8>(product),
        // SAFETY: the CPU has VNNI, and the rest is this function's own.
        _ if has_vnni => unsafe { multiply_super_vnni(product) },
        _ => multiply_super_plain(product),
    }
}

/// Probe of the int8 peak; see [`crate::Isa::int8_peak`].
#[target_feature(enable = "avx2,fma,f16c")]
pub fn int8_peak() -> u64 {
    #[target_feature(enable = "avx2,fma,f16c,avxvnni")]
    fn with_vnni() -> u64 {
        // SAFETY: this function enables what it needs.
        unsafe { peak::int8_peak::<Vnni>() }
    }
    if has!("avxvnni") {
        // SAFETY: the CPU has VNNI, and the rest is this function's own.
        unsafe { with_vnni() }
    } else {
        // SAFETY: this function enables what it needs.
        unsafe { peak::int8_peak::<Bytes>() }
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
            return skip("AVX2 kernels without AVX-VNNI");
        }
        for_each_format!(_, check_flat, check_super);
    }
}
