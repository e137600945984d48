//! IQ2_XXS: 256 weights in 66 bytes, 2.0625 bits each: 8 sub-blocks of 32 with an odd 5-bit scale,
//! and a codebook of 256 times eight magnitudes.

use super::codebooks::IQ2_XXS;
use super::dequantize_super;
use crate::codebook::{Codebook, Field, Signs};
use crate::format::{Candidates, Format, SUPER_LEN, SubScales, Super};
use crate::header::{Header, ODD, part};
use crate::layout::Layout;
use std::mem::offset_of;

/// `weight = scale / 8 * (2 * n + 1) * sign * magnitude`, where `n` is the sub-block's stored
/// number.
pub struct Iq2Xxs;

/// 66 bytes: the scale, and for each sub-block eight bytes: four indices, four times seven signs
/// and, in the highest four bits, its number.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    codes: [u8; 64],
}

const BOOK: Codebook = IQ2_XXS.book(
    size_of::<Block>(),
    [Field { first: 8 * offset_of!(Block, codes), step: 8, stride: 8, bits: 8 }, Field::NONE],
    Signs::Parity(Field { first: 8 * offset_of!(Block, codes) + 32, step: 7, stride: 8, bits: 7 }),
);

impl Format for Iq2Xxs {
    const NAME: &'static str = "IQ2_XXS";
    const GGUF_TYPE: u32 = 16;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Iq2Xxs {
    const LAYOUT: Layout = Layout::of_codebook(&BOOK);
    const HEADER: Header = Header {
        scale: offset_of!(Block, scale),
        is_split: false,
        minimum: None,
        packed: offset_of!(Block, codes) + 7,
        stride: 8,
        n_words: 2,
        sub_scales: &[&[part(0, 3, 0x1e1e_1e1e)], &[part(1, 3, 0x1e1e_1e1e)]],
        sub_minimums: &[],
        offset: ODD,
    };
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = false;
    const SUB_SCALES: SubScales = SubScales { lowest: 1, highest: 31, highest_minimum: 0 };
    const UNIT: f32 = 1.0 / 8.0;
    const CANDIDATES: Candidates = &[34.0, 42.0, 52.0, 64.0, 78.0, 96.0];
}
