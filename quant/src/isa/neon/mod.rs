//! NEON, which every aarch64 CPU has, with the integer dot products (`dotprod`) and matrix products
//! (`i8mm`) of newer ones where they are there.
//!
//! All weights are taken as signed bytes, so that offsets are gone once codes are unpacked.
//!
//! - `unpack`: the codes of a block, as bytes;
//! - `dot`: products of bytes, added up, on each kind of CPU;
//! - `rows`: a few tokens, four rows of weights at a time, straight from the file's bytes;
//! - `lanes`: everything that is not a dot product with weights.

/// An array of an expression's values for the indices given, each time with the index as a
/// constant.
macro_rules! each {
    ($index:ident in [$($value:literal)*] => $element:expr) => {
        [$({ let $index: usize = $value; $element }),*]
    };
}

mod dot;
mod lanes;
mod rows;
mod unpack;

use crate::format::{Flat, Super};
use crate::registry::Product;
use dot::{DotProd, Plain};
use lanes::NeonLanes;

const _: () = assert!(cfg!(target_feature = "neon"), "this target's CPUs may lack NEON");

crate::isa::stamp_vector_functions!(NeonLanes, []);

/// See [`Flat`] for the sum.
pub fn multiply_flat<F: Flat>(product: Product<'_, F>) {
    match DotProd::detect() {
        Some(dot) => rows::multiply_flat(product, dot),
        None => rows::multiply_flat(product, Plain),
    }
}

/// See [`Super`] for the sum.
pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    match DotProd::detect() {
        Some(dot) => rows::multiply_super(product, dot),
        None => rows::multiply_super(product, Plain),
    }
}
