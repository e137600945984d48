//! The three families of formats: how each is multiplied, quantized and dequantized on an
//! instruction set.

use crate::format::{
    self, ActivationKind, FLAT_LEN, Flat, Float, FloatKind, Format, SUPER_LEN, Super,
};
use crate::isa::Isa;
use crate::product::Product;

/// What [`crate::registry`] needs to know of a format, from the arithmetic that it shares with others:
/// implemented by [`FloatFamily`], [`FlatFamily`] and [`SuperFamily`] for the formats of each.
pub trait Family<F: Format> {
    /// What the weights are multiplied with.
    const ACTIVATIONS: ActivationKind;

    /// The encoding of formats that are plain floats.
    const FLOAT_KIND: Option<FloatKind> = None;

    /// Fails to compile where the format's constants contradict each other: the kernels read the
    /// bytes that these name, and check nothing.
    const CHECK: ();

    /// Whether codes are of a codebook.
    const HAS_CODEBOOK: bool = false;

    /// Runs the family's kernel; see [`Product`].
    fn multiply(isa: Isa, product: Product<'_, F>);

    /// Blocks that stand for finite weights with little error; `importance` says how much the squared error of each counts, where not all count the same.
    fn quantize(isa: Isa, weights: &[f32], importance: Option<&[f32]>, blocks: &mut [F::Block]);

    /// The weights of several blocks: what [`Format::dequantize`] says, perhaps faster.
    fn dequantize(_isa: Isa, blocks: &[F::Block], weights: &mut [f32]) {
        format::dequantize::<F>(blocks, weights);
    }
}

/// The family of [`Float`] formats: plain floats.
pub struct FloatFamily;
/// The family of [`Flat`] formats: llama.cpp's legacy formats, with a scale per 32 weights.
pub struct FlatFamily;
/// The family of [`Super`] formats: K-quants, with super-blocks of 256 weights.
pub struct SuperFamily;

impl<F: Float> Family<F> for FloatFamily {
    const ACTIVATIONS: ActivationKind = ActivationKind::F32;
    const FLOAT_KIND: Option<FloatKind> = Some(F::KIND);
    const CHECK: () = assert!(F::BLOCK_LEN == 1 && size_of::<F::Block>() == F::KIND.bytes());
    fn multiply(isa: Isa, product: Product<'_, F>) {
        isa.multiply_float(product);
    }
    fn quantize(isa: Isa, weights: &[f32], _: Option<&[f32]>, blocks: &mut [F::Block]) {
        isa.encode_floats(F::KIND, weights, bytemuck::cast_slice_mut(blocks));
    }
    fn dequantize(isa: Isa, blocks: &[F::Block], weights: &mut [f32]) {
        isa.decode_floats(F::KIND, bytemuck::cast_slice(blocks), weights);
    }
}

impl<F: Flat> Family<F> for FlatFamily {
    const ACTIVATIONS: ActivationKind = ActivationKind::Int8Per32;
    const CHECK: () = {
        assert!(F::BLOCK_LEN == FLAT_LEN);
        F::LAYOUT.check(if F::HAS_MINIMUM { 4 } else { 2 }, size_of::<F::Block>(), FLAT_LEN);
    };
    fn multiply(isa: Isa, product: Product<'_, F>) {
        isa.multiply_flat(product);
    }
    fn quantize(isa: Isa, weights: &[f32], importance: Option<&[f32]>, blocks: &mut [F::Block]) {
        isa.quantize_flat::<F>(weights, importance, blocks);
    }
    fn dequantize(isa: Isa, blocks: &[F::Block], weights: &mut [f32]) {
        isa.dequantize_flat::<F>(blocks, weights);
    }
}

impl<F: Super> Family<F> for SuperFamily {
    const ACTIVATIONS: ActivationKind = ActivationKind::Int8Per256;
    const CHECK: () = {
        assert!(F::BLOCK_LEN == SUPER_LEN && matches!(F::SUB_LEN, 16 | 32));
        F::LAYOUT.check(0, size_of::<F::Block>(), SUPER_LEN);
        F::HEADER.check(size_of::<F::Block>(), SUPER_LEN / F::SUB_LEN, F::HAS_MINIMUM);
    };
    const HAS_CODEBOOK: bool = F::LAYOUT.codebook().is_some();
    fn multiply(isa: Isa, product: Product<'_, F>) {
        isa.multiply_super(product);
    }
    fn quantize(isa: Isa, weights: &[f32], importance: Option<&[f32]>, blocks: &mut [F::Block]) {
        isa.quantize_super::<F>(weights, importance, blocks);
    }
}
