//! IQ1_S: 256 weights in 50 bytes, 1.5625 bits each: 8 sub-blocks of 32 with an odd 4-bit scale,
//! and a codebook of 2048 times eight numbers -1, 0 and 1.

use super::codebooks::IQ1;
use super::dequantize_super;
use crate::codebook::{Codebook, Field, Signs};
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::{Header, ODD, part};
use crate::layout::Layout;
use std::mem::offset_of;

/// `weight = scale * (2 * n + 1) * (number + delta)`, where `n` is the sub-block's stored number,
/// and delta 1/8 or -1/8.
pub struct Iq1S;

/// 50 bytes: the scale, the low bytes of the indices, and for each sub-block two bytes: the high
/// three bits of its four indices, its number, three bits, and the sign of its delta.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    index_low: [u8; 32],
    index_high: [u8; 16],
}

const BOOK: Codebook = IQ1.book(
    size_of::<Block>(),
    [
        Field { first: 8 * offset_of!(Block, index_low), step: 8, stride: 4, bits: 8 },
        Field { first: 8 * offset_of!(Block, index_high), step: 3, stride: 2, bits: 3 },
    ],
    Signs::Delta(Field {
        first: 8 * offset_of!(Block, index_high) + 15,
        step: 0,
        stride: 2,
        bits: 1,
    }),
);

impl Format for Iq1S {
    const NAME: &'static str = "IQ1_S";
    const GGUF_TYPE: u32 = 19;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Iq1S {
    const LAYOUT: Layout = Layout::of_codebook(&BOOK);
    const HEADER: Header = Header {
        scale: offset_of!(Block, scale),
        is_split: false,
        minimum: None,
        packed: offset_of!(Block, index_high),
        stride: 1,
        n_words: 4,
        sub_scales: &[
            &[
                part(0, 11, 0x0e),
                part(0, 19, 0x0e00),
                part(1, 27, 0x000e_0000),
                part(1, 3, 0x0e00_0000),
            ],
            &[
                part(2, 11, 0x0e),
                part(2, 19, 0x0e00),
                part(3, 27, 0x000e_0000),
                part(3, 3, 0x0e00_0000),
            ],
        ],
        sub_minimums: &[],
        offset: ODD,
    };
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = false;
    const SUB_SCALES: SubScales = SubScales { lowest: 1, highest: 15, highest_minimum: 0 };
    const UNIT: f32 = 1.0 / 8.0;
    const CANDIDATES: Candidates = &[8.0, 10.0, 12.5, 15.5, 19.0, 24.0];
}
