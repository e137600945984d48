//! Q4_K: 256 weights in 144 bytes, 4.5 bits each: 8 sub-blocks of 32 with a 6-bit scale and a
//! 6-bit minimum.

use super::{dequantize_super, packed_scales};
use crate::fit::{SubScales, Tries};
use crate::format::{Format, SUPER_LEN, Super, SuperFamily, SuperScales};
use crate::layout::{Codes, Layout, Plane};
use half::f16;

/// `weight = scale * sub_scale * code - minimum * sub_minimum`.
pub struct Q4K;

/// 144 bytes: scale, minimum, the packed sub-scales and sub-minimums, then the codes, 64 weights in
/// every 32 bytes.
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub struct Block {
    scale: [u8; 2],
    minimum: [u8; 2],
    sub_scales: [u8; 12],
    codes: [u8; 128],
}

impl Format for Q4K {
    const NAME: &'static str = "Q4_K";
    const GGUF_TYPE: u32 = 12;
    const BLOCK_LEN: usize = SUPER_LEN;
    type Block = Block;
    type Family = SuperFamily;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }
}

impl Super for Q4K {
    const LAYOUT: Layout =
        Layout { planes: &[Plane { offset: 16, bits: 4, run: 32 }], codes: Codes::Offset(0) };
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = true;
    const SUB_SCALES: SubScales = SubScales { lowest: 0, highest: 63, highest_minimum: 63 };
    const TRIES: Tries = &[-0.5, -0.2, 0.1, 0.4, 0.7, 1.1];

    #[inline(always)]
    fn scales(block: &Block) -> SuperScales {
        let (sub_scales, sub_minimums) = packed_scales::unpack(&block.sub_scales);
        SuperScales {
            scale: f16::from_le_bytes(block.scale),
            minimum: f16::from_le_bytes(block.minimum),
            sub_scales: std::array::from_fn(|i| sub_scales[i / 2] as i8),
            sub_minimums: std::array::from_fn(|i| sub_minimums[i / 2]),
        }
    }

    fn with_scales(scales: &SuperScales) -> Block {
        Block {
            scale: scales.scale.to_le_bytes(),
            minimum: scales.minimum.to_le_bytes(),
            sub_scales: packed_scales::pack(&scales.sub_scales, &scales.sub_minimums),
            codes: [0; 128],
        }
    }
}
