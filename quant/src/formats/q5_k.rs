//! Q5_K: 256 weights in 176 bytes, 5.5 bits each: Q4_K with a fifth bit per weight.

use super::dequantize_super;
use super::q4_k::HEADER;
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::Header;
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * sub_scale * code - minimum * sub_minimum`.
pub struct Q5K;

/// 176 bytes: Q4_K's header, the fifth bits (bit `i` of byte `j` belongs to weight `32 * i + j`),
/// then the low four bits as in Q4_K.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    minimum: [u8; 2],
    sub_scales: [u8; 12],
    high_bits: [u8; 32],
    codes: [u8; 128],
}

impl Format for Q5K {
    const NAME: &'static str = "Q5_K";
    const GGUF_TYPE: u32 = 13;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Q5K {
    const LAYOUT: Layout = Layout {
        planes: &[
            Plane { offset: offset_of!(Block, codes), bits: 4, run: 32 },
            Plane { offset: offset_of!(Block, high_bits), bits: 1, run: 32 },
        ],
        codes: Codes::Offset(0),
    };
    const HEADER: Header = HEADER;
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = true;
    const SUB_SCALES: SubScales = SubScales { lowest: 0, highest: 63, highest_minimum: 63 };
    const CANDIDATES: Candidates = &[-0.5, -0.2, 0.1, 0.4, 0.7, 1.1];
}

const _: () = assert!(
    offset_of!(Block, sub_scales) == HEADER.packed && offset_of!(Block, scale) == HEADER.scale,
    "the header is not Q4_K's"
);
