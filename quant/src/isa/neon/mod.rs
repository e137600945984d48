//! NEON, which every aarch64 CPU has, with the integer dot products (`dotprod`) and matrix products
//! (`i8mm`) of newer ones where they are there.
//!
//! All weights are taken as signed bytes, so that offsets are gone once codes are unpacked.
//!
//! - `unpack`: the codes of a block, as bytes;
//! - `dot`: products of bytes, added up, on each kind of CPU;
//! - `rows`: a few tokens, four rows of weights at a time, straight from the file's bytes;
//! - `tiles`: more tokens, 32 rows unpacked once and multiplied with all of them, where the CPU has
//!   one of the two;
//! - `lanes`: everything that is not a dot product with weights;
//! - `peak`: what the CPU can multiply at most.

mod dot;
mod four_rows;
mod lanes;
mod peak;
mod rows;
mod tiles;
mod unpack;

use crate::format::{Flat, Super};
use crate::registry::Product;
use dot::{DotProd, I8mm, Plain};
use lanes::NeonLanes;
use tiles::{FlatTile, SuperTile};

const _: () = assert!(cfg!(target_feature = "neon"), "this target's CPUs may lack NEON");

crate::isa::stamp_vector_functions!(NeonLanes, []);

/// See [`Flat`] for the sum.
pub fn multiply_flat<F: Flat>(product: Product<'_, F>) {
    let is_few = product.n_tokens() <= rows::N_TOKENS;
    match (DotProd::detect(), I8mm::detect()) {
        (Some(dot), _) if is_few => rows::multiply_flat(product, dot),
        (_, Some(grid)) => tiles::multiply::<F, FlatTile<F>, _>(product, grid),
        (Some(grid), None) => tiles::multiply::<F, FlatTile<F>, _>(product, grid),
        (None, None) => rows::multiply_flat(product, Plain),
    }
}

/// See [`Super`] for the sum.
pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    let is_few = product.n_tokens() <= rows::N_TOKENS;
    match (DotProd::detect(), I8mm::detect()) {
        (Some(dot), _) if is_few => rows::multiply_super(product, dot),
        (_, Some(grid)) => tiles::multiply::<F, SuperTile<F>, _>(product, grid),
        (Some(grid), None) => tiles::multiply::<F, SuperTile<F>, _>(product, grid),
        (None, None) => rows::multiply_super(product, Plain),
    }
}

/// Int8 products of ones; see [`crate::Isa::sum_of_ones`].
pub fn burst_of_ones() -> u64 {
    match (DotProd::detect(), I8mm::detect()) {
        (_, Some(grid)) => peak::burst_of_ones(grid),
        (Some(grid), None) => peak::burst_of_ones(grid),
        (None, None) => peak::plain_burst_of_ones(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::kernel_check::{check, for_each_format};
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
                if $proof.is_some() {
                    for_each_format!(check_flat, check_super);
                }
            }
        };
    }

    same_bits!(plain_rows, Some(Plain), rows::multiply_flat, rows::multiply_super);
    same_bits!(dotprod_rows, DotProd::detect(), rows::multiply_flat, rows::multiply_super);
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
