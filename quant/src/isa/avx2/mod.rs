//! AVX2 with FMA and F16C: 8 lanes of f32, 32 of bytes, no dot-product instruction.
//!
//! `vpmaddubsw` multiplies unsigned by signed bytes and adds pairs of products in 16 bits, with
//! saturation. Codes of up to six bits therefore go in as they are, their offset being taken off
//! the integer sum afterwards; eight-bit weights first need a split or a change of sign.
//!
//! - `unpack`: the codes of a block, as bytes;
//! - `rows`: up to four tokens, four rows of weights at a time, straight from the file's bytes;
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
mod rows;
mod tiles;
mod unpack;

use crate::format::{Flat, Super};
use crate::registry::Product;
use lanes::Avx2Lanes;

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
    match *product.tokens {
        [a] => rows::multiply_flat(product, [a]),
        [a, b] => rows::multiply_flat(product, [a, b]),
        [a, b, c] => rows::multiply_flat(product, [a, b, c]),
        [a, b, c, d] => rows::multiply_flat(product, [a, b, c, d]),
        _ => tiles::multiply_flat(product),
    }
}

/// See [`Super`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    match *product.tokens {
        [a] => rows::multiply_super(product, [a]),
        [a, b] => rows::multiply_super(product, [a, b]),
        _ => tiles::multiply_super(product),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Activations, FORMATS, Isa};

    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u32 {
            self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (self.0 >> 33) as u32
        }

        fn float(&mut self) -> f32 {
            self.next() as f32 / (1u32 << 30) as f32 - 1.0
        }
    }

    #[test]
    fn products_equal_the_scalar_reference() {
        let Ok(avx2) = Isa::named("avx2") else { return };
        let scalar = Isa::named("scalar").unwrap();
        let mut random = Random(1);
        for format in FORMATS {
            for (n_rows, n_blocks, n_tokens) in [
                (1, 1, 1),
                (3, 2, 1),
                (9, 3, 1),
                (4, 18, 1),
                (8, 1, 2),
                (13, 3, 3),
                (7, 18, 4),
                (9, 70, 6),
                (17, 9, 9),
            ] {
                let cols = n_blocks * format.block_len;
                let mut weights = vec![0; n_rows * n_blocks * format.block_bytes];
                for block in weights.chunks_exact_mut(format.block_bytes) {
                    let mut values = vec![f32::NAN; format.block_len];
                    while !values.iter().all(|value| value.is_finite()) {
                        block.iter_mut().for_each(|byte| *byte = random.next() as u8);
                        format.dequantize(scalar, block, &mut values);
                    }
                }
                let x: Vec<_> = (0..(n_tokens + 2) * cols).map(|_| random.float()).collect();
                let x = Activations::new(scalar, format.activations, cols, &x);
                let tokens: Vec<_> = (0..n_tokens as u32).rev().map(|t| t + 2).collect();
                let [expected, found] = [scalar, avx2].map(|isa| {
                    let mut out = vec![f32::NAN; n_tokens * n_rows];
                    format.multiply(isa, &weights, &x, &tokens, &mut out);
                    out.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                });
                assert_eq!(expected, found, "{} {n_rows}x{n_blocks} {n_tokens}", format.name);
            }
        }
    }
}
