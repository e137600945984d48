//! IQ3_S: 256 weights in 110 bytes, 3.4375 bits each: 8 sub-blocks of 32 with an odd 5-bit scale,
//! and a codebook of 512 times four magnitudes.

use super::codebooks::IQ3_S;
use super::dequantize_super;
use crate::codebook::{Codebook, Field, Signs};
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::{Header, ODD, odd};
use crate::layout::Layout;
use std::mem::offset_of;

/// `weight = scale * (2 * n + 1) * sign * magnitude`, where `n` is the sub-block's stored number.
pub struct Iq3S;

/// 110 bytes: the scale, the low bytes of the indices, their ninth bits, a sign for each weight,
/// and the sub-blocks' numbers, four bits each.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    index_low: [u8; 64],
    index_high: [u8; 8],
    signs: [u8; 32],
    sub_scales: [u8; 4],
}

const BOOK: Codebook = IQ3_S.book(
    size_of::<Block>(),
    [
        Field { first: 8 * offset_of!(Block, index_low), step: 8, stride: 8, bits: 8 },
        Field { first: 8 * offset_of!(Block, index_high), step: 1, stride: 1, bits: 1 },
    ],
    Signs::Each(Field { first: 8 * offset_of!(Block, signs), step: 8, stride: 4, bits: 8 }),
);

impl Format for Iq3S {
    const NAME: &'static str = "IQ3_S";
    const GGUF_TYPE: u32 = 21;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Iq3S {
    const LAYOUT: Layout = Layout::of_codebook(&BOOK);
    const HEADER: Header = Header {
        scale: offset_of!(Block, scale),
        is_split: false,
        minimum: None,
        packed: offset_of!(Block, sub_scales),
        stride: 1,
        n_words: 1,
        sub_scales: &[&odd(0, 0, 4, 4), &odd(0, 16, 4, 4)],
        sub_minimums: &[],
        offset: ODD,
    };
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = false;
    const SUB_SCALES: SubScales = SubScales { lowest: 1, highest: 31, highest_minimum: 0 };
    const CANDIDATES: Candidates = &[11.5, 13.5, 15.5, 18.0, 21.0];
}
