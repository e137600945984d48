//! Q3_K: 256 weights in 110 bytes, 3.4375 bits each: 16 sub-blocks of 16 with a signed 6-bit scale.

use super::dequantize_super;
use crate::fit::{SubScales, Tries};
use crate::format::{Format, SUPER_LEN, Super, SuperFamily, SuperScales};
use crate::layout::{Codes, Layout, Plane};
use half::f16;

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
    type Family = SuperFamily;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Q3K {
    const LAYOUT: Layout = Layout {
        planes: &[Plane { offset: 32, bits: 2, run: 32 }, Plane { offset: 0, bits: 1, run: 32 }],
        codes: Codes::Offset(4),
    };
    const SUB_LEN: usize = 16;
    const HAS_MINIMUM: bool = false;
    const SUB_SCALES: SubScales = SubScales { lowest: -32, highest: 31, highest_minimum: 0 };
    const TRIES: Tries = &[-5.0, -4.5, -4.0, -3.5, -3.0, 3.0, 3.5, 4.0];

    #[inline(always)]
    fn scales(block: &Block) -> SuperScales {
        SuperScales {
            scale: f16::from_le_bytes(block.scale),
            minimum: f16::ZERO,
            sub_scales: unpack_sub_scales(&block.sub_scales),
            sub_minimums: [0; 16],
        }
    }

    fn with_scales(scales: &SuperScales) -> Block {
        Block {
            high_bits: [0; 32],
            codes: [0; 64],
            sub_scales: pack_sub_scales(&scales.sub_scales),
            scale: scales.scale.to_le_bytes(),
        }
    }
}

/// Sub-scale `i` is stored plus 32: its low four bits in half `i / 8` of byte `i % 8`, its high two
/// in pair `i / 4` of byte `8 + i % 4`.
fn unpack_sub_scales(packed: &[u8; 12]) -> [i8; 16] {
    std::array::from_fn(|i| {
        let low = packed[i % 8] >> (i / 8 * 4) & 15;
        let high = packed[8 + i % 4] >> (i / 4 * 2) & 3;
        (high << 4 | low) as i8 - 32
    })
}

fn pack_sub_scales(sub_scales: &[i8; 16]) -> [u8; 12] {
    let mut packed = [0; 12];
    for (i, sub_scale) in sub_scales.iter().enumerate() {
        let stored = (sub_scale + 32) as u8;
        packed[i % 8] |= (stored & 15) << (i / 8 * 4);
        packed[8 + i % 4] |= stored >> 4 << (i / 4 * 2);
    }
    packed
}
