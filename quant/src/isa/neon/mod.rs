//! NEON, which every aarch64 CPU has, with the integer dot products (`dotprod`) and matrix products
//! (`i8mm`) of newer ones where they are there.
//!
//! All weights are taken as signed bytes, so that offsets are gone once codes are unpacked.
//!
//! - `lanes`: everything that is not a dot product with weights;
//! - `unpack`: the codes of a block, as bytes; `codebook`: where they come out of a table;
//! - `dot`: products of bytes, added up, on each kind of CPU;
//! - `rows`: GEMV, a few tokens, four rows of weights at a time, straight from the file's bytes;
//! - `tiles`: GEMM, more tokens, 32 rows unpacked once and multiplied with all of them, where the
//!   CPU has one of the two instructions;
//! - `peak`: what the CPU can multiply at most.

mod codebook;
mod dot;
mod lanes;
mod peak;
mod rows;
mod tiles;
mod unpack;

use crate::format::{Flat, Super};
use crate::product::Product;
use dot::{Dot, DotProd, I8mm, Plain};
use lanes::NeonLanes;
use tiles::flat::FlatTile;
use tiles::super_block::SuperTile;

const _: () = assert!(cfg!(target_feature = "neon"), "this target's CPUs may lack NEON");

crate::isa::stamp::stamp_vector_functions!(NeonLanes, []);

/// Stamps a product by rows with any number of tokens, over the GEMV micro-kernel with up to four.
macro_rules! in_fours {
    ($name:ident, $family:ident, $module:ident) => {
        fn $name<F: $family, D: Dot>(mut product: Product<'_, F>, dot: D) {
            let n_tokens = product.n_tokens();
            for first in (0..n_tokens).step_by(rows::N_TOKENS) {
                // SAFETY: NEON is part of the target.
                unsafe {
                    match n_tokens - first {
                        1 => rows::$module::multiply::<F, D, 1>(&mut product, first, dot),
                        2 => rows::$module::multiply::<F, D, 2>(&mut product, first, dot),
                        3 => rows::$module::multiply::<F, D, 3>(&mut product, first, dot),
                        _ => rows::$module::multiply::<F, D, { rows::N_TOKENS }>(
                            &mut product,
                            first,
                            dot,
                        ),
                    }
                }
            }
        }
    };
}

in_fours!(flat_rows, Flat, flat);
in_fours!(super_block_rows, Super, super_block);

/// See [`Flat`] for the sum.
pub fn multiply_flat<F: Flat>(product: Product<'_, F>) {
    let is_few = product.n_tokens() <= rows::N_TOKENS;
    match (DotProd::detect(), I8mm::detect()) {
        (Some(dot), _) if is_few => flat_rows(product, dot),
        (_, Some(grid)) => tiles::multiply::<F, FlatTile<F>, _>(product, grid),
        (Some(grid), None) => tiles::multiply::<F, FlatTile<F>, _>(product, grid),
        (None, None) => flat_rows(product, Plain),
    }
}

/// See [`Super`] for the sum.
pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    let is_few = product.n_tokens() <= rows::N_TOKENS;
    match (DotProd::detect(), I8mm::detect()) {
        (Some(dot), _) if is_few => super_block_rows(product, dot),
        (_, Some(grid)) => tiles::multiply::<F, SuperTile<F>, _>(product, grid),
        (Some(grid), None) => tiles::multiply::<F, SuperTile<F>, _>(product, grid),
        (None, None) => super_block_rows(product, Plain),
    }
}

/// Probe of the int8 peak; see [`crate::Isa::int8_peak`].
pub fn int8_peak() -> u64 {
    match (DotProd::detect(), I8mm::detect()) {
        (_, Some(grid)) => peak::int8_peak(grid),
        (Some(grid), None) => peak::int8_peak(grid),
        (None, None) => peak::plain_int8_peak(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::for_each_format;
    use crate::isa::kernel_check::{check, skip};
    use crate::isa::scalar;

    /// Stamps a test of the kernels that a kind of CPU gets.
    macro_rules! same_bits {
        ($name:ident, $proof:expr, $multiply_flat:expr, $multiply_super:expr) => {
            #[test]
            fn $name() {
                fn check_flat<F: Flat>() {
                    let kernel = |product: Product<'_, F>| $multiply_flat(product, $proof.unwrap());
                    check::<F>(kernel, scalar::multiply_flat);
                }
                fn check_super<F: Super>() {
                    let kernel =
                        |product: Product<'_, F>| $multiply_super(product, $proof.unwrap());
                    check::<F>(kernel, scalar::multiply_super);
                }
                if $proof.is_none() {
                    return skip(concat!("NEON kernels ", stringify!($name)));
                }
                for_each_format!(_, check_flat, check_super);
            }
        };
    }

    same_bits!(plain_rows, Some(Plain), flat_rows, super_block_rows);
    same_bits!(dotprod_rows, DotProd::detect(), flat_rows, super_block_rows);
    same_bits!(
        dotprod_tiles,
        DotProd::detect(),
        tiles::multiply::<F, FlatTile<F>, _>,
        tiles::multiply::<F, SuperTile<F>, _>
    );
    same_bits!(
        i8mm_tiles,
        I8mm::detect(),
        tiles::multiply::<F, FlatTile<F>, _>,
        tiles::multiply::<F, SuperTile<F>, _>
    );
}
