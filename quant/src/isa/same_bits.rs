//! Tests of kernels that no [`Isa`](super::Isa) leads to where the CPU has better ones.

use crate::activations::Activations;
use crate::format::{Family, Format};
use crate::isa::Isa;
use crate::registry::Product;

type Kernel<F> = fn(Product<'_, F>);

/// Compares with the reference on pseudo-random bytes, with one token and with several.
pub fn check<F: Format>(kernel: Kernel<F>, reference: Kernel<F>) {
    let (cols, n_rows, n_tokens) = (5 * 256, 19, 21);
    let n_blocks = n_rows * cols / F::BLOCK_LEN;
    let mut state = 1u32;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Without the highest exponent, no two bytes are an f16 that is not finite.
        (state >> 24) as u8 & 0xbf
    })
    .take(n_blocks * size_of::<F::Block>())
    .collect();
    let x: Vec<f32> = (0..n_tokens * cols).map(|i| (i as f32 * 1.7).sin()).collect();
    let weights: &[F::Block] = bytemuck::cast_slice(&bytes);
    for n_tokens in [1, 8, n_tokens] {
        let x = &x[..n_tokens * cols];
        let x = Activations::new(Isa::SCALAR, F::Family::ACTIVATIONS, cols, x);
        let mut expected = vec![0.0; n_rows * n_tokens];
        let mut found = expected.clone();
        reference(Product { weights, x: &x, out: &mut expected });
        kernel(Product { weights, x: &x, out: &mut found });
        let expected: Vec<u32> = expected.iter().map(|y| y.to_bits()).collect();
        let found: Vec<u32> = found.iter().map(|y| y.to_bits()).collect();
        assert_eq!(expected, found, "{}, {n_tokens} tokens", F::NAME);
    }
}

/// Stamps a test that compares a module's `$flat` and `$super_block`, for all formats, with the
/// reference. They are safe to call where the module's `is_available` says so.
macro_rules! stamp_test {
    ($test:ident, $flat:ident, $super_block:ident) => {
        #[test]
        fn $test() {
            use crate::formats;
            use crate::isa::{same_bits::check, scalar};
            if !is_available() {
                return;
            }
            crate::isa::same_bits::stamp_test! { @each $flat, scalar::multiply_flat,
                Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Iq4Nl }
            crate::isa::same_bits::stamp_test! { @each $super_block, scalar::multiply_super,
                Q2K, Q3K, Q4K, Q5K, Q6K, Iq4Xs }
        }
    };
    (@each $kernel:ident, $reference:path, $($format:ident),*) => {
        $(
            // SAFETY: the CPU has what the module uses.
            check::<formats::$format>(|product| unsafe { $kernel(product) }, $reference);
        )*
    };
}
pub(crate) use stamp_test;
