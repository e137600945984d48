//! Q5_1: 32 weights in 24 bytes, 6 bits each: a scale, a minimum and 5-bit codes.

use super::dequantize_flat;
use crate::format::{Candidates, FLAT_LEN, Flat, Format};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * code + minimum`.
pub struct Q5_1;

/// 24 bytes: scale, minimum, the fifth bits of the codes in order, then the low four bits as in
/// Q4_0.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    minimum: [u8; 2],
    high_bits: [u8; 4],
    codes: [u8; 16],
}

impl Format for Q5_1 {
    const NAME: &'static str = "Q5_1";
    const GGUF_TYPE: u32 = 7;
    const BLOCK_LEN: usize = FLAT_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_flat::<Self>(block, weights);
    }
}

impl Flat for Q5_1 {
    const LAYOUT: Layout = Layout {
        planes: &[
            Plane { offset: offset_of!(Block, codes), bits: 4, run: 16 },
            Plane { offset: offset_of!(Block, high_bits), bits: 1, run: 1 },
        ],
        codes: Codes::Offset(0),
    };
    const HAS_MINIMUM: bool = true;
    const CANDIDATES: Candidates = &[-0.4, 0.1, 0.9];
}
