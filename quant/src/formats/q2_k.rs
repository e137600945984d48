//! Q2_K: 256 weights in 84 bytes, 2.625 bits each: 16 sub-blocks of 16 with a 4-bit scale and a
//! 4-bit minimum.

use super::dequantize_super;
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::{Header, part};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * sub_scale * code - minimum * sub_minimum`.
pub struct Q2K;

/// 84 bytes: per sub-block a byte with its scale in the low and its minimum in the high half, the
/// codes, 128 weights in every 32 bytes, scale, minimum.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    sub_scales: [u8; 16],
    codes: [u8; 64],
    scale: [u8; 2],
    minimum: [u8; 2],
}

impl Format for Q2K {
    const NAME: &'static str = "Q2_K";
    const GGUF_TYPE: u32 = 10;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Q2K {
    const LAYOUT: Layout = Layout {
        planes: &[Plane { offset: offset_of!(Block, codes), bits: 2, run: 32 }],
        codes: Codes::Offset(0),
    };
    const HEADER: Header = Header {
        scale: offset_of!(Block, scale),
        is_split: false,
        minimum: Some(offset_of!(Block, minimum)),
        packed: offset_of!(Block, sub_scales),
        stride: 1,
        n_words: 4,
        sub_scales: &[
            &[part(0, 0, 0x0f0f_0f0f)],
            &[part(1, 0, 0x0f0f_0f0f)],
            &[part(2, 0, 0x0f0f_0f0f)],
            &[part(3, 0, 0x0f0f_0f0f)],
        ],
        sub_minimums: &[
            &[part(0, 4, 0x0f0f_0f0f)],
            &[part(1, 4, 0x0f0f_0f0f)],
            &[part(2, 4, 0x0f0f_0f0f)],
            &[part(3, 4, 0x0f0f_0f0f)],
        ],
        offset: 0,
    };
    const SUB_LEN: usize = 16;
    const HAS_MINIMUM: bool = true;
    const SUB_SCALES: SubScales = SubScales { lowest: 0, highest: 15, highest_minimum: 15 };
    const CANDIDATES: Candidates = &[-0.6, -0.2, 0.2];
}
