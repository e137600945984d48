//! The codes of a block, from its bit planes to bytes.

use crate::format::Super;
use crate::isa::stamp::each;
use crate::layout::{Codes, Layout, Plane};
use std::arch::x86_64::*;

/// Sixteen weights of a block, decoded if it has a codebook, to be unpacked into one half of a
/// register.
#[derive(Clone, Copy)]
pub struct Sixteen<'a> {
    /// The block.
    pub block: &'a [u8],
    /// The first of the weights, a multiple of sixteen.
    pub first: usize,
}

/// Whether weights need all eight bits: `vpmaddubsw` would saturate on them.
pub const fn is_wide(layout: &Layout) -> bool {
    matches!(layout.codes, Codes::Signed | Codes::Table(_))
}

/// The codes of twice sixteen weights: the assembled bits, from 0 up, or for [`is_wide`] layouts
/// the signed weights.
///
/// `layout` and the `first`s are constants at every call, so what remains of this function is a
/// load, a shift and a mask for each plane.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
pub unsafe fn unpack(layout: &Layout, halves: [Sixteen<'_>; 2]) -> __m256i {
    // SAFETY: the caller's promise; a table has sixteen bytes.
    unsafe {
        let mut codes = _mm256_setzero_si256();
        let mut low_bits = 0;
        for plane in layout.planes {
            let bits = if plane.run == 1 {
                single_bits(plane, low_bits, halves)
            } else {
                plane_bits(plane, low_bits, halves)
            };
            codes = _mm256_or_si256(codes, bits);
            low_bits += plane.bits;
        }
        match layout.codes {
            Codes::Offset(_) | Codes::Signed | Codes::Codebook(_) => codes,
            Codes::Table(table) => {
                let table = _mm_loadu_si128(table.as_ptr().cast());
                _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), codes)
            }
        }
    }
}

/// [`unpack`] for weights `16 * SIXTEEN..16 * (SIXTEEN + 1)` of two super-blocks, decoded if they have
/// a codebook, one in each half.
///
/// Kernels have this some hundred times. So that the compiler meets a few instructions there, and not
/// all that they come from, it is reduced to them by itself, before it is inlined.
#[target_feature(enable = "avx2")]
#[inline]
pub fn unpack_super<F: Super, const SIXTEEN: usize>(blocks: [&[u8]; 2]) -> __m256i {
    let first = 16 * SIXTEEN;
    let halves = each!(half in [0 1] => Sixteen { block: blocks[half], first });
    // SAFETY: this function has AVX2.
    unsafe { unpack(&F::LAYOUT, halves) }
}

/// The bits of a plane with runs of at least sixteen bytes, moved up by `low_bits`.
///
/// # Safety
/// As for [`unpack`].
#[inline(always)]
unsafe fn plane_bits(plane: &Plane, low_bits: usize, halves: [Sixteen<'_>; 2]) -> __m256i {
    let per_byte = 8 / plane.bits;
    let mask = ((0xff >> (8 - plane.bits)) << low_bits) as u8;
    let [a, b] = each!(i in [0 1] => {
        let Sixteen { block, first } = halves[i];
        let start = plane.offset + first / (plane.run * per_byte) * plane.run + first % plane.run;
        let down = (first / plane.run % per_byte * plane.bits) as i32 - low_bits as i32;
        (&block[start..start + 16], down)
    });
    // SAFETY: the caller's promise; the slices have sixteen bytes.
    unsafe {
        let bytes = _mm256_loadu2_m128i(b.0.as_ptr().cast(), a.0.as_ptr().cast());
        let right = _mm256_set_m128i(_mm_set1_epi32(b.1.max(0)), _mm_set1_epi32(a.1.max(0)));
        let left = _mm256_set_m128i(_mm_set1_epi32((-b.1).max(0)), _mm_set1_epi32((-a.1).max(0)));
        let bytes = _mm256_sllv_epi32(_mm256_srlv_epi32(bytes, right), left);
        _mm256_and_si256(bytes, _mm256_set1_epi8(mask as i8))
    }
}

/// The bits of a plane that holds one bit of eight consecutive weights per byte, moved up by
/// `low_bits`: the byte goes to all eight, and each looks at its bit.
///
/// # Safety
/// As for [`unpack`].
#[inline(always)]
unsafe fn single_bits(plane: &Plane, low_bits: usize, halves: [Sixteen<'_>; 2]) -> __m256i {
    let [a, b] = each!(i in [0 1] => &halves[i].block[plane.offset..plane.offset + 16]);
    // Sixteen weights' bits are two bytes, of which each goes to eight places.
    let [a_places, b_places] = each!(i in [0 1] => {
        let byte = (halves[i].first / 8) as i64 * 0x0101010101010101;
        [byte, byte + 0x0101010101010101]
    });
    // SAFETY: the caller's promise; the slices have sixteen bytes.
    unsafe {
        let bytes = _mm256_loadu2_m128i(b.as_ptr().cast(), a.as_ptr().cast());
        let places = _mm256_set_epi64x(b_places[1], b_places[0], a_places[1], a_places[0]);
        let bytes = _mm256_shuffle_epi8(bytes, places);
        let own_bit = _mm256_set1_epi64x(0x8040201008040201u64 as i64);
        let is_set = _mm256_cmpeq_epi8(_mm256_and_si256(bytes, own_bit), own_bit);
        _mm256_and_si256(is_set, _mm256_set1_epi8(1 << low_bits))
    }
}

/// Sixteen bytes at `offset` of eight blocks: register `r` has those of blocks `r` and `r + 4`.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
pub unsafe fn eight_sixteens(blocks: [&[u8]; 8], offset: usize) -> [__m256i; 4] {
    each!(r in [0 1 2 3] => {
        let [a, b] = each!(i in [0 1] => &blocks[r + 4 * i][offset..offset + 16]);
        // SAFETY: the caller's promise; the slices have sixteen bytes.
        unsafe { _mm256_loadu2_m128i(b.as_ptr().cast(), a.as_ptr().cast()) }
    })
}

/// The f16 at `offset` of eight blocks, as f32.
///
/// # Safety
/// The CPU has F16C.
#[inline(always)]
pub unsafe fn eight_f16(blocks: [&[u8]; 8], offset: usize) -> __m256 {
    let bits = each!(r in [0 1 2 3 4 5 6 7] => {
        u16::from_le_bytes([blocks[r][offset], blocks[r][offset + 1]])
    });
    // SAFETY: the caller's promise.
    unsafe { f16_bits_to_f32(bits) }
}

/// Eight f16, given by their bits, as f32.
///
/// # Safety
/// The CPU has F16C.
#[inline(always)]
pub unsafe fn f16_bits_to_f32(bits: [u16; 8]) -> __m256 {
    // SAFETY: the caller's promise; the array is sixteen bytes.
    unsafe { _mm256_cvtph_ps(_mm_loadu_si128(bits.as_ptr().cast())) }
}

/// Transposes four by four dwords in each half.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
pub unsafe fn transpose([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
        [
            _mm256_unpacklo_epi64(ab_low, cd_low),
            _mm256_unpackhi_epi64(ab_low, cd_low),
            _mm256_unpacklo_epi64(ab_high, cd_high),
            _mm256_unpackhi_epi64(ab_high, cd_high),
        ]
    }
}
