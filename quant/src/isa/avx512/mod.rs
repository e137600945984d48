//! AVX-512 (F, BW, VL and DQ), with the integer dot products of VNNI where the CPU has them.
//!
//! Everything is built on one picture: a 512-bit register is four lanes of sixteen bytes, and each
//! lane holds sixteen weights of another block ([`codes`]). The four blocks follow each other in a
//! row, or belong to four rows, as the kernel likes. Few tokens ([`flat`], [`superblock`])
//! take four rows at a time straight from the packed weights; more unpack a tile of rows once, into
//! registers that have the same columns of sixteen rows ([`columns`]), and multiply it with all of
//! them.

pub(super) mod ahead;
pub(super) mod codes;
pub(super) mod columns;
mod dot;
mod flat;
pub(super) mod flat_headers;
mod flat_tile;
mod lanes;
mod peak;
mod quarter_rows;
pub(super) mod super_headers;
mod super_tile;
mod superblock;
pub(super) mod tile;

use crate::format::{Flat, Super};
use crate::registry::Product;
use dot::{Plain, Vnni};
use lanes::Avx512Lanes;
use std::arch::is_x86_feature_detected as has;

crate::isa::stamp_vector_functions!(
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

/// Stamps a family's kernel with and without VNNI, and the function that chooses.
macro_rules! stamp_product {
    ($multiply:ident, $with_vnni:ident, $plain:ident, $family:ident, $module:ident) => {
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
            unsafe { $module::multiply::<F, Vnni>(product) }
        }

        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
        fn $plain<F: $family>(product: Product<'_, F>) {
            // SAFETY: this function enables what the kernel needs.
            unsafe { $module::multiply::<F, Plain>(product) }
        }
    };
}

stamp_product!(multiply_flat, multiply_flat_vnni, multiply_flat_plain, Flat, flat);
stamp_product!(multiply_super, multiply_super_vnni, multiply_super_plain, Super, superblock);

/// Int8 products of ones; see [`crate::Isa::sum_of_ones`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
pub fn burst_of_ones() -> u64 {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,avx512vnni")]
    fn with_vnni() -> u64 {
        // SAFETY: this function enables what it needs.
        unsafe { peak::burst_of_ones::<Vnni>() }
    }
    if has!("avx512vnni") {
        // SAFETY: the CPU has VNNI, and the rest is this function's own.
        unsafe { with_vnni() }
    } else {
        // SAFETY: this function enables what it needs.
        unsafe { peak::burst_of_ones::<Plain>() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::kernel_check::{check, for_each_format};
    use crate::isa::scalar;

    fn check_flat<F: Flat>() {
        // SAFETY: the test has asked for the features.
        check::<F>(|product| unsafe { multiply_flat_plain(product) }, scalar::multiply_flat);
    }

    fn check_super<F: Super>() {
        // SAFETY: likewise.
        check::<F>(|product| unsafe { multiply_super_plain(product) }, scalar::multiply_super);
    }

    #[test]
    fn without_vnni_the_bits_are_the_same() {
        if is_available() {
            for_each_format!(check_flat, check_super);
        }
    }
}
