//! IQ4_XS: 256 weights in 136 bytes, 4.25 bits each: 8 sub-blocks of 32 with a signed 6-bit scale,
//! and the table of IQ4_NL.

use super::dequantize_super;
use super::iq4_nl::VALUES;
use crate::fit::{self, Stretches, SubScales};
use crate::format::{Format, SUPER_LEN, Super, SuperFamily, SuperScales};
use crate::layout::{Codes, Layout, Plane};
use half::f16;

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
    type Family = SuperFamily;

    fn dequantize(block: &Block, weights: &mut [f32]) {
        dequantize_super::<Self>(block, weights);
    }

    fn quantize(weights: &[f32]) -> Block {
        let fit = fit::super_block::<Self>(
            weights,
            SubScales { lowest: -32, highest: 31, highest_minimum: 0, n_minimums: 1 },
            Stretches { from: 0.8, to: 1.25, n: 16 },
        );
        let (sub_scales_high, sub_scales_low) = pack_sub_scales(&fit.sub_scales);
        let mut block = Block {
            scale: fit.scale.to_le_bytes(),
            sub_scales_high,
            sub_scales_low,
            codes: [0; 128],
        };
        Self::LAYOUT.pack(&fit.codes, bytemuck::bytes_of_mut(&mut block));
        block
    }
}

impl Super for Iq4Xs {
    const LAYOUT: Layout =
        Layout { planes: &[Plane { offset: 8, bits: 4, run: 16 }], codes: Codes::Table(&VALUES) };
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = false;

    fn scales(block: &Block) -> SuperScales {
        SuperScales {
            scale: f16::from_le_bytes(block.scale).to_f32(),
            minimum: 0.0,
            sub_scales: unpack_sub_scales(block.sub_scales_high, block.sub_scales_low),
            sub_minimums: [0; 16],
        }
    }
}

/// Sixteen sub-scales, one per 16 weights, of the eight.
fn unpack_sub_scales(highs: [u8; 2], lows: [u8; 4]) -> [i8; 16] {
    std::array::from_fn(|i| {
        let sub_idx = i / 2;
        let low = lows[sub_idx / 2] >> (sub_idx % 2 * 4) & 15;
        let high = highs[sub_idx / 4] >> (sub_idx % 4 * 2) & 3;
        (high << 4 | low) as i8 - 32
    })
}

/// The bytes of the first eight sub-scales.
fn pack_sub_scales(sub_scales: &[i8; 16]) -> ([u8; 2], [u8; 4]) {
    let (mut highs, mut lows) = ([0; 2], [0; 4]);
    for (sub_idx, sub_scale) in sub_scales[..8].iter().enumerate() {
        let stored = (sub_scale + 32) as u8;
        highs[sub_idx / 4] |= stored >> 4 << (sub_idx % 4 * 2);
        lows[sub_idx / 2] |= (stored & 15) << (sub_idx % 2 * 4);
    }
    (highs, lows)
}
