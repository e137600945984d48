//! Q5_0: 32 weights in 22 bytes, 5.5 bits each: a scale and symmetric 5-bit codes.

use super::dequantize_flat;
use crate::format::{Candidates, FLAT_LEN, Flat, Format};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * (code - 16)`.
pub struct Q5_0;

/// 22 bytes: the scale, the fifth bits of the codes in order, then the low four bits as in Q4_0.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    high_bits: [u8; 4],
    codes: [u8; 16],
}

impl Format for Q5_0 {
    const NAME: &'static str = "Q5_0";
    const GGUF_TYPE: u32 = 6;
    const BLOCK_LEN: usize = FLAT_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_flat::<Self>(block, weights);
    }
}

impl Flat for Q5_0 {
    const LAYOUT: Layout = Layout {
        planes: &[
            Plane { offset: offset_of!(Block, codes), bits: 4, run: 16 },
            Plane { offset: offset_of!(Block, high_bits), bits: 1, run: 1 },
        ],
        codes: Codes::Offset(16),
    };
    const HAS_MINIMUM: bool = false;
    const CANDIDATES: Candidates = &[-16.4, -16.0, -15.6, -14.9, 14.0, 15.3, 16.0, 16.7];
}
