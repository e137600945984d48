//! Q4_K: 256 weights in 144 bytes, 4.5 bits each: 8 sub-blocks of 32 with a 6-bit scale and a
//! 6-bit minimum.

use super::dequantize_super;
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::{Header, part};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * sub_scale * code - minimum * sub_minimum`.
pub struct Q4K;

/// 144 bytes: scale, minimum, the packed sub-scales and sub-minimums, then the codes, 64 weights in
/// every 32 bytes.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    minimum: [u8; 2],
    sub_scales: [u8; 12],
    codes: [u8; 128],
}

impl Format for Q4K {
    const NAME: &'static str = "Q4_K";
    const GGUF_TYPE: u32 = 12;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Q4K {
    const LAYOUT: Layout = Layout {
        planes: &[Plane { offset: offset_of!(Block, codes), bits: 4, run: 32 }],
        codes: Codes::Offset(0),
    };
    const HEADER: Header = HEADER;
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = true;
    const SUB_SCALES: SubScales = SubScales { lowest: 0, highest: 63, highest_minimum: 63 };
    const CANDIDATES: Candidates = &[-0.5, -0.2, 0.1, 0.4, 0.7, 1.1];
}

/// Q4_K's header, which Q5_K has, too: after scale and minimum twelve bytes. The first four
/// sub-scales are the low six bits of bytes 0..4, the first four sub-minimums those of bytes 4..8.
/// Of the last four, bytes 8..12 hold the low four bits (sub-scale in the low half, sub-minimum in
/// the high half), and the top two bits of bytes 0..8 their high two.
pub const HEADER: Header = Header {
    scale: offset_of!(Block, scale),
    is_split: false,
    minimum: Some(offset_of!(Block, minimum)),
    packed: offset_of!(Block, sub_scales),
    stride: 1,
    n_words: 3,
    sub_scales: &[&[part(0, 0, 0x3f3f_3f3f)], &[part(2, 0, 0x0f0f_0f0f), part(0, 2, 0x3030_3030)]],
    sub_minimums: &[
        &[part(1, 0, 0x3f3f_3f3f)],
        &[part(2, 4, 0x0f0f_0f0f), part(1, 2, 0x3030_3030)],
    ],
    offset: 0,
};
