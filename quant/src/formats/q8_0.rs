//! Q8_0: 32 weights in 34 bytes, 8.5 bits each: a scale and signed bytes.

use super::dequantize_flat;
use crate::format::{Candidates, FLAT_LEN, Flat, Format};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * code`.
pub struct Q8_0;

/// 34 bytes: the scale, then the codes as two's complement bytes.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    codes: [u8; 32],
}

impl Format for Q8_0 {
    const NAME: &'static str = "Q8_0";
    const GGUF_TYPE: u32 = 8;
    const BLOCK_LEN: usize = FLAT_LEN;
    type Block = Block;

    #[inline(always)]
    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_flat::<Self>(block, weights);
    }
}

impl Flat for Q8_0 {
    const LAYOUT: Layout = Layout {
        planes: &[Plane { offset: offset_of!(Block, codes), bits: 8, run: 32 }],
        codes: Codes::Signed,
    };
    const HAS_MINIMUM: bool = false;
    const CANDIDATES: Candidates = &[127.4, 126.9, 126.0, 124.9, 124.1, 123.3, 122.8, 122.0];
}
