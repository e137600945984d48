//! IQ4_XS: 256 weights in 136 bytes, 4.25 bits each: 8 sub-blocks of 32 with a signed 6-bit scale,
//! and the table of IQ4_NL.

use super::dequantize_super;
use super::iq4_nl::{CANDIDATES, VALUES};
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::{Header, part};
use crate::layout::{Codes, Layout, Plane};
use std::mem::offset_of;

/// `weight = scale * sub_scale * VALUES[code]`.
pub struct Iq4Xs;

/// 136 bytes: the scale, the sub-scales plus 32, their high two bits first, then their low four,
/// both in order from the lowest bits up, then the codes, 32 weights in every 16 bytes.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    sub_scales_high: [u8; 2],
    sub_scales_low: [u8; 4],
    codes: [u8; 128],
}

impl Format for Iq4Xs {
    const NAME: &'static str = "IQ4_XS";
    const GGUF_TYPE: u32 = 23;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Iq4Xs {
    const LAYOUT: Layout = Layout {
        planes: &[Plane { offset: offset_of!(Block, codes), bits: 4, run: 16 }],
        codes: Codes::Table(&VALUES),
    };
    const HEADER: Header = Header {
        scale: offset_of!(Block, scale),
        is_split: false,
        minimum: None,
        // The first word has the scale and, above it, the high bits; the second the low bits.
        packed: offset_of!(Block, scale),
        stride: 1,
        n_words: 2,
        sub_scales: &[
            &[
                part(1, 0, 0x0f),
                part(1, 28, 0x0f00),
                part(1, 24, 0x000f_0000),
                part(1, 20, 0x0f00_0000),
                part(0, 12, 0x30),
                part(0, 6, 0x3000),
                part(0, 0, 0x0030_0000),
                part(0, 26, 0x3000_0000),
            ],
            &[
                part(1, 16, 0x0f),
                part(1, 12, 0x0f00),
                part(1, 8, 0x000f_0000),
                part(1, 4, 0x0f00_0000),
                part(0, 20, 0x30),
                part(0, 14, 0x3000),
                part(0, 8, 0x0030_0000),
                part(0, 2, 0x3000_0000),
            ],
        ],
        sub_minimums: &[],
        offset: 32,
    };
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = false;
    const SUB_SCALES: SubScales = SubScales { lowest: -32, highest: 31, highest_minimum: 0 };
    const CANDIDATES: Candidates = CANDIDATES;
}
