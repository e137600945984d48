//! IQ4_NL: 32 weights in 18 bytes, 4.5 bits each: a scale and 4-bit indices into a table.
//!
//! The table's sixteen values are spaced like the quantiles of a bell curve: densely around zero,
//! widely in the tails.

use super::dequantize_flat;
use crate::format::{Candidates, FLAT_LEN, Flat, Format};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// What the codes stand for, in IQ4_NL and IQ4_XS.
pub(super) const VALUES: [i8; 16] =
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Where the fit of IQ4_NL and IQ4_XS puts the largest weight: around both ends of the table.
pub(super) const CANDIDATES: Candidates = &[
    -147.0, -142.0, -138.0, -134.0, -130.0, -127.0, -124.0, -121.0, -117.0, -113.0, -109.0, -105.0,
    -100.0, 98.0, 103.0, 107.0, 110.0, 113.0, 116.0, 119.0, 122.0, 126.0, 130.0,
];

/// `weight = scale * VALUES[code]`.
pub struct Iq4Nl;

/// 18 bytes, as in Q4_0.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    codes: [u8; 16],
}

impl Format for Iq4Nl {
    const NAME: &'static str = "IQ4_NL";
    const GGUF_TYPE: u32 = 20;
    const BLOCK_LEN: usize = FLAT_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_flat::<Self>(block, weights);
    }
}

impl Flat for Iq4Nl {
    const LAYOUT: Layout = Layout {
        planes: &[Plane { offset: offset_of!(Block, codes), bits: 4, run: 16 }],
        codes: Codes::Table(&VALUES),
    };
    const HAS_MINIMUM: bool = false;
    const CANDIDATES: Candidates = CANDIDATES;
}
