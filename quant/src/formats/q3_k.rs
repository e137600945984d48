//! Q3_K: 256 weights in 110 bytes, 3.4375 bits each: 16 sub-blocks of 16 with a signed 6-bit scale.

use super::dequantize_super;
use crate::fit::{self, Integers, Stretches};
use crate::format::{Format, SUPER_LEN, Super, SuperFamily, SuperScales};
use crate::layout::{Codes, Layout, Plane};
use half::f16;

/// `weight = scale * sub_scale * (code - 4)`.
pub struct Q3K;

/// 110 bytes: the third bits of the codes (bit `i` of byte `j` belongs to weight `32 * i + j`), the
/// low two bits as in Q2_K, the packed sub-scales, the scale.
///
/// Sub-scale `i` is stored plus 32: its low four bits in half `i / 8` of byte `i % 8`, its high two
/// in pair `i / 4` of byte `8 + i % 4`.
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

    fn quantize(weights: &[f32]) -> Block {
        let fit = fit::super_symmetric::<16>(
            weights,
            Integers(-4.0, 3.0),
            -32,
            Stretches { from: 0.7, to: 1.4, n: 16 },
            fit::Tune { window: 4, rounds: 2, spans: &[1.0] },
        );
        let mut block: Block = bytemuck::Zeroable::zeroed();
        block.scale = fit.scale.to_le_bytes();
        for (i, sub_scale) in fit.sub_scales.iter().enumerate() {
            let stored = (sub_scale + 32) as u8;
            block.sub_scales[i % 8] |= (stored & 15) << (i / 8 * 4);
            block.sub_scales[8 + i % 4] |= stored >> 4 << (i / 4 * 2);
        }
        Self::LAYOUT.pack(&fit.codes, bytemuck::bytes_of_mut(&mut block));
        block
    }
}

impl Super for Q3K {
    const LAYOUT: Layout = Layout {
        planes: &[Plane { offset: 32, bits: 2, run: 32 }, Plane { offset: 0, bits: 1, run: 32 }],
        codes: Codes::Offset(4),
    };
    const SUB_LEN: usize = 16;
    const HAS_MINIMUM: bool = false;

    #[inline(always)]
    fn scales(block: &Block) -> SuperScales {
        let packed = &block.sub_scales;
        SuperScales {
            scale: f16::from_le_bytes(block.scale),
            minimum: f16::ZERO,
            sub_scales: std::array::from_fn(|i| {
                let low = packed[i % 8] >> (i / 8 * 4) & 15;
                let high = packed[8 + i % 4] >> (i / 4 * 2) & 3;
                (high << 4 | low) as i8 - 32
            }),
            sub_minimums: [0; 16],
        }
    }
}
