//! Q3_K: 256 weights in 110 bytes, 3.4375 bits each: 16 sub-blocks of 16 with a signed 6-bit scale.

use super::dequantize_super;
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::{Header, part};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * sub_scale * (code - 4)`.
pub struct Q3K;

/// 110 bytes: the third bits of the codes (bit `i` of byte `j` belongs to weight `32 * i + j`), the
/// low two bits as in Q2_K, the packed sub-scales, the scale.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    high_bits: [u8; 32],
    codes: [u8; 64],
    sub_scales: [u8; 12],
    scale: [u8; 2],
}

impl Format for Q3K {
    const NAME: &'static str = "Q3_K";
    const GGUF_TYPE: u32 = 11;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Q3K {
    const LAYOUT: Layout = Layout {
        planes: &[
            Plane { offset: offset_of!(Block, codes), bits: 2, run: 32 },
            Plane { offset: offset_of!(Block, high_bits), bits: 1, run: 32 },
        ],
        codes: Codes::Offset(4),
    };
    const HEADER: Header = Header {
        scale: offset_of!(Block, scale),
        is_split: false,
        minimum: None,
        packed: offset_of!(Block, sub_scales),
        stride: 1,
        n_words: 3,
        sub_scales: &[
            &[part(0, 0, 0x0f0f_0f0f), part(2, 28, 0x3030_3030)],
            &[part(1, 0, 0x0f0f_0f0f), part(2, 30, 0x3030_3030)],
            &[part(0, 4, 0x0f0f_0f0f), part(2, 0, 0x3030_3030)],
            &[part(1, 4, 0x0f0f_0f0f), part(2, 2, 0x3030_3030)],
        ],
        sub_minimums: &[],
        offset: 32,
    };
    const SUB_LEN: usize = 16;
    const HAS_MINIMUM: bool = false;
    const SUB_SCALES: SubScales = SubScales { lowest: -32, highest: 31, highest_minimum: 0 };
    const CANDIDATES: Candidates = &[-5.0, -4.5, -4.0, -3.5, -3.0, 3.0, 3.5, 4.0];
}
