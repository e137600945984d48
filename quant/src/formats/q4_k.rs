//! Q4_K: 256 weights in 144 bytes, 4.5 bits each: 8 sub-blocks of 32 with a 6-bit scale and a
//! 6-bit minimum.

use crate::format::{Format, SUPER_LEN, Super, SuperFamily, SuperScales};
use crate::layout::{Codes, Layout, Plane};
use half::f16;

/// `weight = scale * sub_scale * code - minimum * sub_minimum`.
pub struct Q4K;

/// 144 bytes.
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
        let header = Self::scales(block);
        let mut codes = [0; SUPER_LEN];
        Self::LAYOUT.unpack(bytemuck::bytes_of(block), &mut codes);
        for (i, (weight, code)) in weights.iter_mut().zip(codes).enumerate() {
            let scale = header.scale * f32::from(header.sub_scales[i / 16]);
            let minimum = header.minimum * f32::from(header.sub_minimums[i / 16]);
            *weight = scale * f32::from(code) - minimum;
        }
    }

    fn quantize(weights: &[f32]) -> Block {
        todo!("{}", weights.len())
    }
}

impl Super for Q4K {
    const LAYOUT: Layout =
        Layout { planes: &[Plane { offset: 16, bits: 4, run: 32 }], codes: Codes::Offset(0) };
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = true;

    fn scales(block: &Block) -> SuperScales {
        let mut scales = SuperScales {
            scale: f16::from_le_bytes(block.scale).to_f32(),
            minimum: f16::from_le_bytes(block.minimum).to_f32(),
            sub_scales: [0; 16],
            sub_minimums: [0; 16],
        };
        for sub in 0..8 {
            let packed = &block.sub_scales;
            let (scale, minimum) = if sub < 4 {
                (packed[sub] & 63, packed[sub + 4] & 63)
            } else {
                let (low, high) = (packed[sub + 4], sub - 4);
                (low & 15 | packed[high] >> 6 << 4, low >> 4 | packed[high + 4] >> 6 << 4)
            };
            scales.sub_scales[2 * sub..][..2].fill(scale as i8);
            scales.sub_minimums[2 * sub..][..2].fill(minimum);
        }
        scales
    }
}
