//! AVX2 with FMA and F16C: 8 lanes of f32, 32 of bytes, no dot-product instruction.
//!
//! `vpmaddubsw` multiplies unsigned by signed bytes and adds pairs of products in 16 bits, with
//! saturation. Codes of up to six bits therefore go in as they are, their offset being taken off
//! the integer sum afterwards; eight-bit weights first need a split or a change of sign.
//!
//! - `unpack`: the codes of a block, as bytes;
//! - `rows`: a few tokens, four rows of weights at a time, straight from the file's bytes;
//! - `tiles`: more tokens, eight rows unpacked once and multiplied with all of them;
//! - `lanes`: everything that is not a dot product with weights.

/// An array of an expression's values for the indices given. It stands in for `array::from_fn` and
/// `map`, into which the compiler does not inline closures that use target features.
macro_rules! each {
    ($index:ident in [$($value:literal)*] => $element:expr) => {
        [$({ let $index: usize = $value; $element }),*]
    };
}

mod lanes;
mod peak;
mod rows;
mod tiles;
mod unpack;

use crate::format::{Flat, Super};
use crate::registry::Product;
use lanes::Avx2Lanes;
pub use peak::burst_of_ones;

crate::isa::stamp_vector_functions!(Avx2Lanes, [#[target_feature(enable = "avx2,fma,f16c")]]);

/// Whether this CPU has all that the module uses.
pub fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
}

/// See [`Flat`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply_flat<F: Flat>(product: Product<'_, F>) {
    match product.n_tokens() {
        1 => rows::multiply_flat::<F, 1>(product),
        2 => rows::multiply_flat::<F, 2>(product),
        3 => rows::multiply_flat::<F, 3>(product),
        4 => rows::multiply_flat::<F, 4>(product),
        _ => tiles::multiply_flat(product),
    }
}

/// See [`Super`] for the sum. From three tokens on a tile is faster, for flat formats from five.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    match product.n_tokens() {
        1 => rows::multiply_super::<F, 1>(product),
        2 => rows::multiply_super::<F, 2>(product),
        _ => tiles::multiply_super(product),
    }
}

#[cfg(test)]
mod tests {
    use crate::activations::ActivationKind;
    use crate::{Activations, FORMATS, Isa};

    /// Rows so long that a tile unpacks them in several pieces, the last one short.
    #[test]
    fn sums_go_on_from_tile_to_tile() {
        let Ok(avx2) = Isa::named("avx2") else { return };
        let scalar = Isa::named("scalar").unwrap();
        let (n_rows, n_tokens, cols) = (11, 7, 256 * 19);
        let mut seed = 1u32;
        let mut random = || {
            seed = seed.wrapping_mul(1664525).wrapping_add(1013904223);
            (seed >> 24) as u8
        };
        for format in FORMATS.iter().filter(|format| format.activations != ActivationKind::F32) {
            let mut weights = vec![0; n_rows * format.row_bytes(cols).unwrap()];
            let mut values = vec![0.0; format.block_len];
            for block in weights.chunks_exact_mut(format.block_bytes) {
                values.fill(f32::NAN);
                while !values.iter().all(|value| value.is_finite()) {
                    block.fill_with(&mut random);
                    format.dequantize(scalar, block, &mut values);
                }
            }
            let x: Vec<_> = (0..n_tokens * cols).map(|_| f32::from(random()) - 127.5).collect();
            let x = Activations::new(scalar, format.activations, cols, &x);
            let [expected, found] = [scalar, avx2].map(|isa| {
                let mut out = vec![f32::NAN; n_tokens * n_rows];
                format.multiply(isa, &weights, &x, &mut out);
                out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            });
            assert_eq!(expected, found, "{format}");
        }
    }
}
