//! Q4_1: 32 weights in 20 bytes, 5 bits each: a scale, a minimum and 4-bit codes.

use super::dequantize_flat;
use crate::format::{Candidates, FLAT_LEN, Flat, Format};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * code + minimum`.
pub struct Q4_1;

/// 20 bytes: scale, minimum, then codes as in Q4_0.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    minimum: [u8; 2],
    codes: [u8; 16],
}

impl Format for Q4_1 {
    const NAME: &'static str = "Q4_1";
    const GGUF_TYPE: u32 = 3;
    const BLOCK_LEN: usize = FLAT_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_flat::<Self>(block, weights);
    }
}

impl Flat for Q4_1 {
    const LAYOUT: Layout = Layout {
        planes: &[Plane { offset: offset_of!(Block, codes), bits: 4, run: 16 }],
        codes: Codes::Offset(0),
    };
    const HAS_MINIMUM: bool = true;
    const CANDIDATES: Candidates = &[-0.4, 0.1];
}
