//! IQ4_XS: 256 weights in 136 bytes, 4.25 bits each: 8 sub-blocks of 32 with a signed 6-bit scale,
//! and the table of IQ4_NL.

use super::dequantize_super;
use super::iq4_nl::{TRIES, VALUES};
use crate::fit::{SubScales, Tries};
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
}

impl Super for Iq4Xs {
    const LAYOUT: Layout =
        Layout { planes: &[Plane { offset: 8, bits: 4, run: 16 }], codes: Codes::Table(&VALUES) };
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = false;
    const SUB_SCALES: SubScales = SubScales { lowest: -32, highest: 31, highest_minimum: 0 };
    const TRIES: Tries = TRIES;

    #[inline(always)]
    fn scales(block: &Block) -> SuperScales {
        SuperScales {
            scale: f16::from_le_bytes(block.scale),
            minimum: f16::ZERO,
            sub_scales: unpack_sub_scales(block.sub_scales_high, block.sub_scales_low),
            sub_minimums: [0; 16],
        }
    }

    fn with_scales(scales: &SuperScales) -> Block {
        let (sub_scales_high, sub_scales_low) = pack_sub_scales(&scales.sub_scales);
        Block {
            scale: scales.scale.to_le_bytes(),
            sub_scales_high,
            sub_scales_low,
            codes: [0; 128],
        }
    }
}

/// Sixteen sub-scales, one per 16 weights, of the eight.
///
/// All at once, since every kernel needs them: their bits are spread over the bytes of a word, then
/// 32 is taken from each byte, with its top bit set meanwhile so that none borrows.
#[inline(always)]
fn unpack_sub_scales(highs: [u8; 2], lows: [u8; 4]) -> [i8; 16] {
    let mut low = u64::from(u32::from_le_bytes(lows));
    low = (low | low << 16) & 0x0000_ffff_0000_ffff;
    low = (low | low << 8) & 0x00ff_00ff_00ff_00ff;
    low = (low | low << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let mut high = u64::from(u16::from_le_bytes(highs));
    high = (high | high << 24) & 0x0000_00ff_0000_00ff;
    high = (high | high << 12) & 0x000f_000f_000f_000f;
    high = (high | high << 6) & 0x0303_0303_0303_0303;
    let stored = low | high << 4 | 0x8080_8080_8080_8080;
    let subs = ((stored - 0x2020_2020_2020_2020) ^ 0x8080_8080_8080_8080).to_le_bytes();
    std::array::from_fn(|i| subs[i / 2] as i8)
}

/// The bytes of eight sub-scales, each given twice.
fn pack_sub_scales(sub_scales: &[i8; 16]) -> ([u8; 2], [u8; 4]) {
    let (mut highs, mut lows) = ([0; 2], [0; 4]);
    for (sub_idx, [sub_scale, _]) in sub_scales.as_chunks().0.iter().enumerate() {
        let stored = (sub_scale + 32) as u8;
        highs[sub_idx / 4] |= stored >> 4 << (sub_idx % 4 * 2);
        lows[sub_idx / 2] |= (stored & 15) << (sub_idx % 2 * 4);
    }
    (highs, lows)
}
