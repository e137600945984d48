//! Unpacking packed blocks into registers: sixteen codes of each of four blocks at once, whatever
//! the format.
//!
//! Every function here is inlined into a kernel, where the layout is a constant: its loops and
//! branches are gone by then.

use crate::layout::{Codes, Layout, Plane};
use std::arch::x86_64::*;

/// Codes of one block in a lane.
pub const LANE_LEN: usize = 16;

/// The addresses of four blocks, one per lane.
pub type Blocks = [*const u8; 4];

/// The largest unsigned byte that [`unpack16`] makes.
pub const fn max_unsigned(layout: &Layout) -> i32 {
    match layout.codes {
        Codes::Offset(_) | Codes::Codebook(_) => layout.max_code(),
        Codes::Signed | Codes::Table(_) => u8::MAX as i32,
    }
}

/// Sixteen bytes at `offset` of each block.
///
/// # Safety
/// The blocks must be readable that far.
#[inline(always)]
pub unsafe fn load_lanes(blocks: Blocks, offset: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let [a, b, c, d] = blocks;
        let lanes = _mm512_castsi128_si512(_mm_loadu_si128(a.add(offset).cast()));
        let lanes = _mm512_inserti32x4::<1>(lanes, _mm_loadu_si128(b.add(offset).cast()));
        let lanes = _mm512_inserti32x4::<2>(lanes, _mm_loadu_si128(c.add(offset).cast()));
        _mm512_inserti32x4::<3>(lanes, _mm_loadu_si128(d.add(offset).cast()))
    }
}

/// The unsigned bytes ([`Layout::unpack`]) of weights `16 * sixteen..16 * (sixteen + 1)` of each block.
///
/// # Safety
/// The addresses must be those of blocks of this layout, decoded if it has a codebook, with at
/// least 16 bytes from each plane's offset on.
#[inline(always)]
pub unsafe fn unpack16(layout: &Layout, blocks: Blocks, sixteen: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let mut codes = _mm512_setzero_si512();
        let mut low_bits = 0;
        for plane in layout.planes {
            let bits = if plane.run < LANE_LEN {
                single_bits(load_lanes(blocks, plane.offset), sixteen, low_bits)
            } else {
                let Source { offset, shift } = source(plane, sixteen);
                group_of_bits(load_lanes(blocks, plane.offset + offset), plane, shift, low_bits)
            };
            codes = _mm512_or_si512(codes, bits);
            low_bits += plane.bits;
        }
        unsigned(layout, codes)
    }
}

/// A place in a plane: where it has its bits of sixteen consecutive weights.
pub struct Source {
    /// First of sixteen bytes of the plane.
    pub offset: usize,
    /// Place of the bits in each.
    pub shift: usize,
}

/// Where a plane has its bits of weights `16 * sixteen..16 * (sixteen + 1)`.
#[inline(always)]
pub fn source(plane: &Plane, sixteen: usize) -> Source {
    let first = sixteen * LANE_LEN;
    let run_idx = first * plane.bits / (8 * plane.run);
    let in_run = first % (8 / plane.bits * plane.run);
    Source {
        offset: run_idx * plane.run + in_run % plane.run,
        shift: in_run / plane.run * plane.bits,
    }
}

/// A plane's bits, from `shift` on in each byte of `raw`, moved to `low_bits`.
#[inline(always)]
pub unsafe fn group_of_bits(raw: __m512i, plane: &Plane, shift: usize, low_bits: usize) -> __m512i {
    let mask = (0xff >> (8 - plane.bits)) << low_bits;
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let shifted = shift_right(raw, shift as i32 - low_bits as i32);
        if plane.bits == 8 {
            shifted
        } else {
            _mm512_and_si512(shifted, _mm512_set1_epi8(mask as u8 as i8))
        }
    }
}

/// What assembled bits stand for, as unsigned bytes.
#[inline(always)]
pub unsafe fn unsigned(layout: &Layout, codes: __m512i) -> __m512i {
    // SAFETY: a table has a lane's sixteen bytes; the features are the caller's promise.
    unsafe {
        match layout.codes {
            Codes::Offset(_) | Codes::Codebook(_) => codes,
            Codes::Signed => _mm512_xor_si512(codes, _mm512_set1_epi8(-128)),
            Codes::Table(table) => {
                let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
                let unsigned = _mm512_xor_si512(table, _mm512_set1_epi8(-128));
                _mm512_shuffle_epi8(unsigned, codes)
            }
        }
    }
}

/// For planes of one bit per weight in order: spreads bits `16 * sixteen..` of each lane over bytes.
#[inline(always)]
unsafe fn single_bits(lanes: __m512i, sixteen: usize, low_bits: usize) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let (first, second) = (2 * sixteen as i64, 2 * sixteen as i64 + 1);
        let (first, second) = (first * 0x0101_0101_0101_0101, second * 0x0101_0101_0101_0101);
        let bytes = _mm512_broadcast_i32x4(_mm_set_epi64x(second, first));
        let bits = _mm512_set1_epi64(0x8040_2010_0804_0201u64 as i64);
        let is_set = _mm512_test_epi8_mask(_mm512_shuffle_epi8(lanes, bytes), bits);
        _mm512_maskz_set1_epi8(is_set, 1 << low_bits)
    }
}

/// Shifts 16-bit elements right, or left where `count` is negative.
#[inline(always)]
unsafe fn shift_right(lanes: __m512i, count: i32) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        match count {
            0 => lanes,
            1.. => _mm512_srl_epi16(lanes, _mm_cvtsi32_si128(count)),
            _ => _mm512_sll_epi16(lanes, _mm_cvtsi32_si128(-count)),
        }
    }
}

/// The low half of each 32-bit element, an f16, as f32.
#[inline(always)]
pub unsafe fn low_f16(elements: __m512i) -> __m512 {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe { _mm512_cvtph_ps(_mm512_cvtepi32_epi16(elements)) }
}

/// The high half of each 32-bit element, an f16, as f32.
#[inline(always)]
pub unsafe fn high_f16(elements: __m512i) -> __m512 {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe { low_f16(_mm512_srli_epi32::<16>(elements)) }
}
