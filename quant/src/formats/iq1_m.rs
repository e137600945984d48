//! IQ1_M: 256 weights in 56 bytes, 1.75 bits each: 16 sub-blocks of 16 with an odd 4-bit scale,
//! and a codebook of 2048 times eight numbers -1, 0 and 1.

use super::codebooks::IQ1;
use super::dequantize_super;
use crate::codebook::{Codebook, Field, Signs};
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::{Header, ODD, odd};
use crate::layout::Layout;
use std::mem::offset_of;

/// `weight = scale * (2 * n + 1) * (number + delta)`, where `n` is the sub-block's stored number,
/// and delta 1/8 or -1/8 for eight weights each.
pub struct Iq1M;

/// 56 bytes: the low bytes of the indices, for each eight weights the high three bits and the sign
/// of delta, and for each four sub-blocks two bytes: their numbers, three bits each, and four bits
/// of the scale.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    index_low: [u8; 32],
    index_high: [u8; 16],
    scales: [u8; 8],
}

const BOOK: Codebook = IQ1.book(
    size_of::<Block>(),
    [
        Field { first: 8 * offset_of!(Block, index_low), step: 8, stride: 4, bits: 8 },
        Field { first: 8 * offset_of!(Block, index_high), step: 4, stride: 2, bits: 3 },
    ],
    Signs::Delta(Field {
        first: 8 * offset_of!(Block, index_high) + 3,
        step: 4,
        stride: 2,
        bits: 1,
    }),
);

impl Format for Iq1M {
    const NAME: &'static str = "IQ1_M";
    const GGUF_TYPE: u32 = 29;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Iq1M {
    const LAYOUT: Layout = Layout::of_codebook(&BOOK);
    const HEADER: Header = Header {
        scale: offset_of!(Block, scales),
        is_split: true,
        minimum: None,
        packed: offset_of!(Block, scales),
        stride: 1,
        n_words: 2,
        sub_scales: &[&odd(0, 0, 3, 3), &odd(0, 16, 3, 3), &odd(1, 0, 3, 3), &odd(1, 16, 3, 3)],
        sub_minimums: &[],
        offset: ODD,
    };
    const SUB_LEN: usize = 16;
    const HAS_MINIMUM: bool = false;
    const SUB_SCALES: SubScales = SubScales { lowest: 1, highest: 15, highest_minimum: 0 };
    const UNIT: f32 = 1.0 / 8.0;
    const CANDIDATES: Candidates = &[8.0, 10.0, 12.5, 15.5, 19.0, 24.0];
}
