//! From bytes to registers: scales, and the codes of a block, from bit planes to signed weights.

use super::lanes::f16_to_f32;
use crate::isa::stamp::each;
use crate::layout::{Codes, Layout, Plane};
use std::arch::aarch64::*;

/// The largest magnitude of a weight that [`unpack`] makes.
pub const fn largest(layout: &Layout) -> i32 {
    match layout.codes {
        Codes::Offset(offset) => {
            let highest = layout.max_code() - offset as i32;
            if highest > offset as i32 { highest } else { offset as i32 }
        }
        Codes::Codebook(book) => book.max_unsigned() - book.offset as i32,
        Codes::Signed | Codes::Table(_) => 128,
    }
}

/// Sixteen weights of a block, decoded if it has a codebook, as integers, offset taken off;
/// `first`, the first of them, is a multiple of sixteen.
///
/// `layout` and `first` are constants at every call, so what remains of this function is a load, a
/// shift and a mask for each plane, and one instruction for the offset or the table.
#[inline(always)]
pub fn unpack(layout: &Layout, block: &[u8], first: usize) -> int8x16_t {
    const { assert!(cfg!(target_feature = "neon")) }
    // SAFETY: NEON is part of the target; a table has sixteen bytes.
    unsafe {
        let mut codes = vdupq_n_u8(0);
        let mut low_bits = 0;
        for plane in layout.planes {
            let bits = if plane.run == 1 {
                single_bits(plane, low_bits, block, first)
            } else {
                plane_bits(plane, low_bits, block, first)
            };
            codes = if low_bits == 0 { bits } else { vorrq_u8(codes, bits) };
            low_bits += plane.bits;
        }
        let signed = vreinterpretq_s8_u8(codes);
        match layout.codes {
            Codes::Offset(0) | Codes::Signed => signed,
            Codes::Offset(offset) => vsubq_s8(signed, vdupq_n_s8(offset as i8)),
            Codes::Codebook(book) => vsubq_s8(signed, vdupq_n_s8(book.offset as i8)),
            Codes::Table(table) => vqtbl1q_s8(vld1q_s8(table.as_ptr()), codes),
        }
    }
}

/// The bits of a plane with runs of at least sixteen bytes, moved up by `low_bits`.
#[inline(always)]
fn plane_bits(plane: &Plane, low_bits: usize, block: &[u8], first: usize) -> uint8x16_t {
    let per_byte = 8 / plane.bits;
    let start = plane.offset + first / (plane.run * per_byte) * plane.run + first % plane.run;
    let bytes = block[start..start + 16].as_ptr();
    let down = first / plane.run % per_byte * plane.bits;
    // SAFETY: the slice has sixteen bytes; NEON is part of the target.
    unsafe {
        let bytes = vld1q_u8(bytes);
        let moved = vshlq_u8(bytes, vdupq_n_s8(low_bits as i8 - down as i8));
        let mask = (0xff >> (8 - plane.bits)) << low_bits;
        // Bits that come from the top of a byte bring no others along.
        let are_alone = low_bits == 0 && down + plane.bits == 8;
        if are_alone { moved } else { vandq_u8(moved, vdupq_n_u8(mask)) }
    }
}

/// The bits of a plane that holds one bit of eight consecutive weights per byte, moved up by
/// `low_bits`: the byte goes to all eight, and each looks at its bit.
#[inline(always)]
fn single_bits(plane: &Plane, low_bits: usize, block: &[u8], first: usize) -> uint8x16_t {
    let start = plane.offset + first / 8;
    let both = u16::from_le_bytes([block[start], block[start + 1]]);
    // SAFETY: NEON is part of the target.
    unsafe {
        let spread = vcombine_u8(vdup_n_u8(0), vdup_n_u8(1));
        let bytes = vqtbl1q_u8(vreinterpretq_u8_u16(vdupq_n_u16(both)), spread);
        let own_bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
        vandq_u8(vtstq_u8(bytes, own_bit), vdupq_n_u8(1 << low_bits))
    }
}

#[inline(always)]
pub fn load(bytes: &[i8; 16]) -> int8x16_t {
    // SAFETY: the reference is to sixteen bytes; NEON is part of the target.
    unsafe { vld1q_s8(bytes.as_ptr()) }
}

/// The f16 at byte `at` of each block.
#[inline(always)]
pub fn f16_at(blocks: [&[u8]; 4], at: usize) -> float32x4_t {
    f16_bits_to_f32(each!(r in [0 1 2 3] => u16::from_le_bytes([blocks[r][at], blocks[r][at + 1]])))
}

/// Four f16, given by their bits, as f32.
#[inline(always)]
pub fn f16_bits_to_f32(bits: [u16; 4]) -> float32x4_t {
    // SAFETY: NEON is part of the target.
    f16_to_f32(unsafe {
        let halves = vdup_n_u16(bits[0]);
        let halves = vset_lane_u16::<1>(bits[1], halves);
        let halves = vset_lane_u16::<2>(bits[2], halves);
        vset_lane_u16::<3>(bits[3], halves)
    })
}
