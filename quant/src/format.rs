//! What a block format is.
//!
//! A [`Format`] says how many weights a block holds and how they are read back. How it multiplies,
//! and how blocks are made, follows from its family, of which there are three:
//!
//! | family | formats | activations | one block adds |
//! | --- | --- | --- | --- |
//! | [`Float`] | F32, F16, BF16 | f32 | sixteen lanes, see [`crate::vector`] |
//! | [`Flat`] | Q4_0 .. Q8_0, IQ4_NL | int8, a scale per 32 | one multiply-add, and one for the minimum |
//! | [`Super`] | Q2_K .. Q6_K, IQ4_XS | int8, a scale per 256 | the same |
//!
//! A family's trait exposes the block's integers (codes, scales); the kernels under [`crate::isa`]
//! are written once per family and instruction set.

use crate::activations::ActivationKind;
use crate::fit::{SubScales, Tries};
use crate::header::Header;
use crate::isa::Isa;
use crate::layout::Layout;
use crate::registry::Product;
use half::f16;

/// A block format of GGUF weights.
pub trait Format: Sized + 'static {
    /// Its name, as users and other tools write it: `Q4_K`.
    const NAME: &'static str;
    /// Its number in a GGUF tensor table.
    const GGUF_TYPE: u32;
    /// Weights per block.
    const BLOCK_LEN: usize;
    /// The block as it lies in a file. All fields are bytes, so that a block may lie anywhere.
    type Block: bytemuck::Pod + Send + Sync;
    /// How it multiplies.
    type Family: Family<Self>;

    /// The weights of a block: the definition of the format.
    /// `weights` holds [`Self::BLOCK_LEN`] values.
    fn dequantize(block: &Self::Block, weights: &mut [f32]);
}

/// The arithmetic that a format shares with others; implemented by [`FloatFamily`],
/// [`FlatFamily`] and [`SuperFamily`].
pub trait Family<F: Format> {
    /// What the weights are multiplied with.
    const ACTIVATIONS: ActivationKind;

    /// The encoding of formats that are plain floats.
    const FLOAT_KIND: Option<FloatKind> = None;

    /// Fails to compile where the format's constants contradict each other: the kernels read the
    /// bytes that these name, and check nothing.
    const CHECK: ();

    /// Runs the family's kernel; see [`Product`].
    fn multiply(isa: Isa, product: Product<'_, F>);

    /// Blocks that stand for finite weights with little error.
    fn quantize(isa: Isa, weights: &[f32], blocks: &mut [F::Block]);

    /// The weights of several blocks: what [`Format::dequantize`] says, perhaps faster.
    fn dequantize(_isa: Isa, blocks: &[F::Block], weights: &mut [f32]) {
        dequantize::<F>(blocks, weights);
    }
}

/// The weights of several blocks.
#[inline(always)]
pub fn dequantize<F: Format>(blocks: &[F::Block], weights: &mut [f32]) {
    for (block, weights) in blocks.iter().zip(weights.chunks_exact_mut(F::BLOCK_LEN)) {
        F::dequantize(block, weights);
    }
}

/// Formats whose blocks are single floats.
pub trait Float: Format {
    /// How sixteen of them become f32, exactly.
    const KIND: FloatKind;
}

/// The float encodings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FloatKind {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
}

impl FloatKind {
    /// Bytes per value.
    pub const fn bytes(self) -> usize {
        match self {
            FloatKind::F32 => 4,
            FloatKind::F16 | FloatKind::Bf16 => 2,
        }
    }
}

/// Formats with blocks of 32 weights: `weight = scale * (code - offset) + minimum`.
///
/// Across a row, for block `b` with activation codes `q` and scale `s`:
/// `acc = fma(scale * s, float(sum((code - offset) * q)), acc)` and, with minimums,
/// `acc = fma(minimum, s * float(sum(q)), acc)`.
pub trait Flat: Format {
    /// Where the codes are.
    const LAYOUT: Layout;
    /// Whether blocks carry a minimum, as two bytes of f16 after the scale.
    ///
    /// In every flat format the block begins with the scale, two bytes of f16.
    const HAS_MINIMUM: bool;
    /// What quantizing tries.
    const TRIES: Tries;
}

/// Formats with blocks of 256 weights in sub-blocks that have integer scales:
/// `weight = scale * sub_scale * (code - offset) - minimum * sub_minimum`.
///
/// Across a row, for block `b` with activation codes `q` and scale `s`:
/// `acc = fma(scale * s, float(sum(sub_scale * (code - offset) * q)), acc)` and, with minimums,
/// `acc = fma(-(minimum * s), float(sum(sub_minimum * q)), acc)`.
pub trait Super: Format {
    /// Where the codes are.
    const LAYOUT: Layout;
    /// Where the scales are.
    const HEADER: Header;
    /// Weights per sub-block: 16 or 32.
    const SUB_LEN: usize;
    /// Whether blocks carry minimums.
    const HAS_MINIMUM: bool;
    /// The range of its sub-scales and sub-minimums.
    const SUB_SCALES: SubScales;
    /// What quantizing tries.
    const TRIES: Tries;
}

/// The scales of a super-block, as its header has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuperScales {
    /// Scale of the sub-scales, as stored: kernels widen those of several rows at once.
    pub scale: f16,
    /// Scale of the sub-minimums; 0 without minimums.
    pub minimum: f16,
    /// A scale per 16 weights; formats with sub-blocks of 32 repeat each.
    pub sub_scales: [i8; 16],
    /// A minimum per 16 weights, likewise; 0 without minimums.
    pub sub_minimums: [u8; 16],
}

/// Weights per super-block.
pub const SUPER_LEN: usize = 256;
/// Weights per flat block.
pub const FLAT_LEN: usize = 32;

/// The family of [`Float`] formats.
pub struct FloatFamily;
/// The family of [`Flat`] formats.
pub struct FlatFamily;
/// The family of [`Super`] formats.
pub struct SuperFamily;

impl<F: Float> Family<F> for FloatFamily {
    const ACTIVATIONS: ActivationKind = ActivationKind::F32;
    const FLOAT_KIND: Option<FloatKind> = Some(F::KIND);
    const CHECK: () = assert!(F::BLOCK_LEN == 1 && size_of::<F::Block>() == F::KIND.bytes());
    fn multiply(isa: Isa, product: Product<'_, F>) {
        isa.multiply_float(product);
    }
    fn quantize(isa: Isa, weights: &[f32], blocks: &mut [F::Block]) {
        isa.narrow(F::KIND, weights, bytemuck::cast_slice_mut(blocks));
    }
    fn dequantize(isa: Isa, blocks: &[F::Block], weights: &mut [f32]) {
        isa.widen(F::KIND, bytemuck::cast_slice(blocks), weights);
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
    fn quantize(isa: Isa, weights: &[f32], blocks: &mut [F::Block]) {
        isa.quantize_flat::<F>(weights, blocks);
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
    fn multiply(isa: Isa, product: Product<'_, F>) {
        isa.multiply_super(product);
    }
    fn quantize(isa: Isa, weights: &[f32], blocks: &mut [F::Block]) {
        isa.quantize_super::<F>(weights, blocks);
    }
}
