//! Compares kernels that an instruction set chooses among with the reference, whichever the CPU
//! would get.

use super::scalar;
use crate::activations::Activations;
use crate::codebook::Decoded;
use crate::format::{ActivationKind, FLAT_LEN, Format, Super};
use crate::product::Product;
use std::io::Write;

/// Says that kernels were not checked because the CPU lacks them. It goes to standard error by itself,
/// which the test harness does not capture: a run shows what it left out.
pub fn skip(kernels: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED, not on this CPU: {kernels}");
}

pub type Kernel<F> = fn(Product<'_, F>);

/// Compares how an instruction set decodes blocks of any bits with the definition, where the format
/// has a codebook.
pub fn check_decoding<F: Super>(decode: fn(&F::Block, &mut Decoded)) {
    let Some(book) = F::LAYOUT.codebook() else { return };
    let mut random = bytes();
    for _ in 0..1000 {
        let mut block: F::Block = bytemuck::Zeroable::zeroed();
        bytemuck::bytes_of_mut(&mut block).fill_with(&mut random);
        let (mut expected, mut found) = (Decoded::ZERO, Decoded::ZERO);
        book.decode(bytemuck::bytes_of(&block), &mut expected.0);
        decode(&block, &mut found);
        assert_eq!(expected.0, found.0, "{}", F::NAME);
    }
}

/// The test of the decoding in the module around, which takes an instruction set; the condition is
/// that the CPU has it.
macro_rules! test_decoding {
    ($isa:literal, $is_available:expr) => {
        use crate::format::Super;
        use crate::formats::for_each_format;
        use crate::isa::kernel_check::{check_decoding, skip};

        fn check<F: Super>() {
            // SAFETY: the test has asked for the features.
            check_decoding::<F>(|block, decoded| unsafe { super::decode::<F>(block, decoded) });
        }

        #[test]
        fn blocks_are_decoded_as_defined() {
            if !$is_available {
                return skip(concat!("decoding with ", $isa));
            }
            for_each_format!(_, _, check);
        }
    };
}
pub(crate) use test_decoding;

/// Pseudo-random bytes.
fn bytes() -> impl FnMut() -> u8 {
    let mut state = 1u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    }
}

/// Compares with the reference on pseudo-random bytes, with one token, with several, and with more
/// than a group.
pub fn check<F: Format>(kernel: Kernel<F>, reference: Kernel<F>) {
    let (cols, n_rows, n_tokens) = (5 * 256, 19, 21);
    let mut random = bytes();
    let mut bytes = vec![0; n_rows * cols / F::BLOCK_LEN * size_of::<F::Block>()];
    let mut values = vec![0.0; F::BLOCK_LEN];
    for block in bytes.chunks_exact_mut(size_of::<F::Block>()) {
        values.fill(f32::NAN);
        while !values.iter().all(|value| value.is_finite()) {
            block.fill_with(&mut random);
            F::dequantize(bytemuck::from_bytes(block), &mut values);
        }
    }
    // The first columns have the largest codes there are, of one sign and of the other.
    let x: Vec<f32> = (0..n_tokens * cols)
        .map(|i| match i % cols {
            0..256 => 1.0,
            256..512 => -1.0,
            _ => (i as f32 * 1.7).sin(),
        })
        .collect();
    let weights: &[F::Block] = bytemuck::cast_slice(&bytes);
    let is_flat = F::BLOCK_LEN == FLAT_LEN;
    let kind = if is_flat { ActivationKind::Int8Per32 } else { ActivationKind::Int8Per256 };
    for n_tokens in [1, 3, 8, n_tokens] {
        let x = &x[..n_tokens * cols];
        let x = Activations::new_with(kind, cols, x, scalar::quantize_block);
        let mut expected = vec![0.0; n_rows * n_tokens];
        let mut found = expected.clone();
        reference(Product { weights, x: &x, out: &mut expected });
        kernel(Product { weights, x: &x, out: &mut found });
        let expected: Vec<u32> = expected.iter().map(|y| y.to_bits()).collect();
        let found: Vec<u32> = found.iter().map(|y| y.to_bits()).collect();
        assert_eq!(expected, found, "{}", F::NAME);
    }
}
