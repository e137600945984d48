//! IQ2_XS: 256 weights in 74 bytes, 2.3125 bits each: 16 sub-blocks of 16 with an odd 5-bit scale,
//! and a codebook of 512 times eight magnitudes.

use super::codebooks::IQ2_XS;
use super::dequantize_super;
use crate::codebook::{Codebook, Field, Signs};
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::{Header, ODD, odd};
use crate::layout::Layout;
use std::mem::offset_of;

/// `weight = scale / 8 * (2 * n + 1) * sign * magnitude`, where `n` is the sub-block's stored
/// number.
pub struct Iq2Xs;

/// 74 bytes: the scale, for each eight weights two bytes, nine bits of index and seven of signs,
/// and the sub-blocks' numbers, four bits each.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    codes: [u8; 64],
    sub_scales: [u8; 8],
}

const BOOK: Codebook = IQ2_XS.book(
    size_of::<Block>(),
    [
        Field { first: 8 * offset_of!(Block, codes), step: 16, stride: 8, bits: 8 },
        Field { first: 8 * offset_of!(Block, codes) + 8, step: 16, stride: 8, bits: 1 },
    ],
    Signs::Parity(Field { first: 8 * offset_of!(Block, codes) + 9, step: 16, stride: 8, bits: 7 }),
);

impl Format for Iq2Xs {
    const NAME: &'static str = "IQ2_XS";
    const GGUF_TYPE: u32 = 17;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Iq2Xs {
    const LAYOUT: Layout = Layout::of_codebook(&BOOK);
    const HEADER: Header = Header {
        scale: offset_of!(Block, scale),
        is_split: false,
        minimum: None,
        packed: offset_of!(Block, sub_scales),
        stride: 1,
        n_words: 2,
        sub_scales: &[&odd(0, 0, 4, 4), &odd(0, 16, 4, 4), &odd(1, 0, 4, 4), &odd(1, 16, 4, 4)],
        sub_minimums: &[],
        offset: ODD,
    };
    const SUB_LEN: usize = 16;
    const HAS_MINIMUM: bool = false;
    const SUB_SCALES: SubScales = SubScales { lowest: 1, highest: 31, highest_minimum: 0 };
    const UNIT: f32 = 1.0 / 8.0;
    const CANDIDATES: Candidates = &[34.0, 42.0, 52.0, 64.0, 78.0, 96.0];
}
