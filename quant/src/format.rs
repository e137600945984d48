//! What a block format is.
//!
//! A [`Format`] says how many weights a block holds and how they are read back. How it multiplies,
//! and how blocks are made, follows from its family, of which there are three:
//!
//! | family | in the field | formats | activations | one block adds |
//! | --- | --- | --- | --- | --- |
//! | [`Float`] | float types | F32, F16, BF16 | f32 | sixteen lanes, see [`crate::vector`] |
//! | [`Flat`] | legacy formats: blocks of 32 with a scale | Q4_0 .. Q8_0, IQ4_NL | int8, a scale per 32 | one multiply-add, and one for the minimum |
//! | [`Super`] | K-quants: super-blocks of 256 with sub-scales | Q2_K .. Q6_K, IQ4_XS, IQ1, IQ2, IQ3 | int8, a scale per 256 | the same |
//!
//! A family's trait exposes the block's integers (codes, scales); the kernels under [`crate::isa`]
//! are written once per family and instruction set.

use crate::header::{Header, SuperScales};
use crate::layout::Layout;

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

    /// The weights of a block: the definition of the format.
    /// `weights` holds [`Self::BLOCK_LEN`] values.
    fn dequantize(block: &Self::Block, weights: &mut [f32]);
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
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            FloatKind::F32 => 4,
            FloatKind::F16 | FloatKind::Bf16 => 2,
        }
    }
}

/// Legacy formats, with blocks of 32 weights that share one scale:
/// `weight = scale * (code - offset) + minimum`.
///
/// Across a row, for block `b` with activation codes `q` and scale `s`:
/// `acc = fma(scale * s, float(sum((code - offset) * q)), acc)` and, with minimums,
/// `acc = fma(minimum, s * float(sum(q)), acc)`.
pub trait Flat: Format {
    /// Where the codes lie in a block.
    const LAYOUT: Layout;
    /// Whether blocks carry a minimum, as two bytes of f16 after the scale.
    ///
    /// In every legacy format the block begins with the scale, two bytes of f16.
    const HAS_MINIMUM: bool;
    /// Where the scale search puts the outermost weights.
    const CANDIDATES: Candidates;
}

/// K-quants, with super-blocks of 256 weights in sub-blocks that have integer scales: `weight =
/// scale * sub_scale * (code - offset) - minimum * sub_minimum`, the scale being the stored one
/// times [`Super::UNIT`].
///
/// Across a row, for block `b` with activation codes `q` and scale `s`:
/// `acc = fma(scale * s, float(sum(sub_scale * (code - offset) * q)), acc)` and, with minimums,
/// `acc = fma(-(minimum * s), float(sum(sub_minimum * q)), acc)`.
pub trait Super: Format {
    /// Where the codes lie in a block.
    const LAYOUT: Layout;
    /// Where the scales lie in a block.
    const HEADER: Header;
    /// Weights per sub-block: 16 or 32.
    const SUB_LEN: usize;
    /// Whether blocks carry minimums.
    const HAS_MINIMUM: bool;
    /// The range of its sub-scales and sub-minimums.
    const SUB_SCALES: SubScales;
    /// What the stored scale is a multiple of: a power of two, so that no bit is lost.
    const UNIT: f32 = 1.0;
    /// Where the scale search puts the outermost weights.
    const CANDIDATES: Candidates;

    /// The scales of a block.
    #[inline(always)]
    fn scales(block: &Self::Block) -> SuperScales {
        const { Self::HEADER }.unpack(bytemuck::bytes_of(block))
    }
}

/// The integers that a super-block format can store as sub-scales and sub-minimums.
#[derive(Clone, Copy)]
pub struct SubScales {
    /// The least sub-scale.
    pub lowest: i8,
    /// The greatest sub-scale.
    pub highest: i8,
    /// The greatest sub-minimum; 0 for formats without.
    pub highest_minimum: u8,
}

/// The candidates of a format's scale search: where each puts the outermost weights of a block, or
/// of a sub-block, on the grid, in units of its numbers.
///
/// - Without minimums: the largest weight at each of these numbers. Beyond the ends of the grid it
///   is clipped.
///   Where codes are entries of a codebook, it is its magnitude that lands there.
/// - With minimums: for each pair of these, the least weight that far above the lowest number and
///   the greatest that far below the highest. Negative ones are clipped.
pub type Candidates = &'static [f32];

/// Weights per super-block.
pub const SUPER_LEN: usize = 256;
/// Weights per block of a legacy format.
pub const FLAT_LEN: usize = 32;

/// How a row of activations is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActivationKind {
    /// As f32.
    F32,
    /// As int8 with a scale per 32, for the legacy formats.
    Int8Per32,
    /// As int8 with a scale per 256, for the K-quants.
    Int8Per256,
}

impl ActivationKind {
    /// Activations that share a scale; 1 for [`Self::F32`].
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            ActivationKind::F32 => 1,
            ActivationKind::Int8Per32 => FLAT_LEN,
            ActivationKind::Int8Per256 => SUPER_LEN,
        }
    }

    /// Activations per sum: what offsets and minimums need.
    #[must_use]
    pub const fn sum_len(self) -> usize {
        match self {
            ActivationKind::F32 | ActivationKind::Int8Per32 => FLAT_LEN,
            ActivationKind::Int8Per256 => 16,
        }
    }

    /// Sums per block.
    pub(crate) const fn n_sums(self) -> usize {
        self.block_len() / self.sum_len()
    }
}
