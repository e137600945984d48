//! Q4_0: 32 weights in 18 bytes, 4.5 bits each: a scale and symmetric 4-bit codes.

use super::dequantize_flat;
use crate::format::{Candidates, FLAT_LEN, Flat, Format};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * (code - 8)`.
pub struct Q4_0;

/// 18 bytes: the scale, then 16 bytes whose low halves are codes 0..16 and high halves 16..32.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    codes: [u8; 16],
}

impl Format for Q4_0 {
    const NAME: &'static str = "Q4_0";
    const GGUF_TYPE: u32 = 2;
    const BLOCK_LEN: usize = FLAT_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_flat::<Self>(block, weights);
    }
}

impl Flat for Q4_0 {
    const LAYOUT: Layout = Layout {
        planes: &[Plane { offset: offset_of!(Block, codes), bits: 4, run: 16 }],
        codes: Codes::Offset(8),
    };
    const HAS_MINIMUM: bool = false;
    const CANDIDATES: Candidates = &[-8.7, -8.3, -7.8, 7.0, 8.0];
}
