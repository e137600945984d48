//! IQ4_XS: 256 weights in 136 bytes, 4.25 bits each: 8 sub-blocks of 32 with a signed 6-bit scale, and
//! the table of IQ4_NL.

use super::dequantize_super;
use super::iq4_nl::VALUES;
use crate::fit::{self, Stretches, Table};
use crate::format::{Format, SUPER_LEN, Super, SuperFamily, SuperScales};
use crate::layout::{Codes, Layout, Plane};
use half::f16;

/// `weight = scale * sub_scale * VALUES[code]`.
pub struct Iq4Xs;

/// 136 bytes: the scale, the sub-scales plus 32, their high two bits first, then their low four, both
/// in order from the lowest bits up, then the codes, 32 weights in every 16 bytes.
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
        let fit = fit::super_symmetric::<32>(
            weights,
            Table(&VALUES),
            -32,
            Stretches { from: 0.8, to: 1.25, n: 16 },
            fit::Tune { window: 3, rounds: 2, spans: &[1.0] },
        );
        let mut block: Block = bytemuck::Zeroable::zeroed();
        block.scale = fit.scale.to_le_bytes();
        for (i, sub_scale) in fit.sub_scales[..8].iter().enumerate() {
            let stored = (sub_scale + 32) as u8;
            block.sub_scales_low[i / 2] |= (stored & 15) << (i % 2 * 4);
            block.sub_scales_high[i / 4] |= stored >> 4 << (i % 4 * 2);
        }
        Self::LAYOUT.pack(&fit.codes, bytemuck::bytes_of_mut(&mut block));
        block
    }
}

impl Super for Iq4Xs {
    const LAYOUT: Layout =
        Layout { planes: &[Plane { offset: 8, bits: 4, run: 16 }], codes: Codes::Table(&VALUES) };
    const SUB_LEN: usize = 32;
    const HAS_MINIMUM: bool = false;

    #[inline(always)]
    fn scales(block: &Block) -> SuperScales {
        let sub_scales = unpack(block.sub_scales_low, block.sub_scales_high);
        SuperScales {
            scale: f16::from_le_bytes(block.scale),
            minimum: f16::ZERO,
            sub_scales: std::array::from_fn(|i| sub_scales[i / 2] as i8),
            sub_minimums: [0; 16],
        }
    }
}

/// The eight sub-scales, all at once, since every kernel needs them: the bits spread over the bytes
/// of a word, then 32 taken from each byte, with its top bit set meanwhile so that none borrows.
#[inline(always)]
fn unpack(low: [u8; 4], high: [u8; 2]) -> [u8; 8] {
    let mut low = u64::from(u32::from_le_bytes(low));
    low = (low | low << 16) & 0x0000_ffff_0000_ffff;
    low = (low | low << 8) & 0x00ff_00ff_00ff_00ff;
    low = (low | low << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let mut high = u64::from(u16::from_le_bytes(high));
    high = (high | high << 24) & 0x0000_00ff_0000_00ff;
    high = (high | high << 12) & 0x000f_000f_000f_000f;
    high = (high | high << 6) & 0x0303_0303_0303_0303;
    let stored = low | high << 4 | 0x8080_8080_8080_8080;
    ((stored - 0x2020_2020_2020_2020) ^ 0x8080_8080_8080_8080).to_le_bytes()
}
