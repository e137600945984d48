//! Q6_K: 256 weights in 210 bytes, 6.5625 bits each: 16 sub-blocks of 16 with a signed 8-bit scale.

use super::dequantize_super;
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::{Header, part};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * sub_scale * (code - 32)`.
pub struct Q6K;

/// 210 bytes: the low four bits of the codes, 128 weights in every 64 bytes, their high two bits,
/// 128 weights in every 32 bytes, the sub-scales, the scale.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    codes: [u8; 128],
    high_bits: [u8; 64],
    sub_scales: [i8; 16],
    scale: [u8; 2],
}

impl Format for Q6K {
    const NAME: &'static str = "Q6_K";
    const GGUF_TYPE: u32 = 14;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Q6K {
    const LAYOUT: Layout = Layout {
        planes: &[
            Plane { offset: offset_of!(Block, codes), bits: 4, run: 64 },
            Plane { offset: offset_of!(Block, high_bits), bits: 2, run: 32 },
        ],
        codes: Codes::Offset(32),
    };
    const HEADER: Header = Header {
        scale: offset_of!(Block, scale),
        is_split: false,
        minimum: None,
        packed: offset_of!(Block, sub_scales),
        stride: 1,
        n_words: 4,
        sub_scales: &[&[part(0, 0, !0)], &[part(1, 0, !0)], &[part(2, 0, !0)], &[part(3, 0, !0)]],
        sub_minimums: &[],
        offset: 0,
    };
    const SUB_LEN: usize = 16;
    const HAS_MINIMUM: bool = false;
    const SUB_SCALES: SubScales = SubScales { lowest: -128, highest: 127, highest_minimum: 0 };
    const CANDIDATES: Candidates =
        &[-32.0, -31.0, -30.5, -29.5, -28.5, -27.0, -26.0, 27.0, 28.0, 29.0, 30.0, 31.0];
}
