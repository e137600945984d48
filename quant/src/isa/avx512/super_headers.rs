//! The headers of super-blocks, sixteen at a time: what tiles multiply sub-blocks with.

use super::codes::{PIECE_LEN, headers_of_four, high_f16, low_f16, transpose};
use super::tile::HALF_ROWS;
use crate::format::{SUPER_LEN, Super};
use std::arch::x86_64::*;

/// Sixteens of weights in a block.
pub const N_PIECES: usize = SUPER_LEN / PIECE_LEN;

/// The headers of a block of sixteen rows: element `r` is row `r`'s.
pub struct SixteenHeaders {
    /// As f32.
    pub scales: __m512,
    /// As f32.
    pub minimums: __m512,
    /// Of each sub-block, as 32-bit integers; as many as the format has.
    pub sub_scales: [__m512i; N_PIECES],
    /// Of each two sub-blocks, as halves of 32 bits.
    pub sub_minimums: [__m512i; N_PIECES / 2],
}

impl SixteenHeaders {
    /// Decodes them.
    ///
    /// # Safety
    /// `rows` must be the addresses of blocks, and the CPU have this module's features.
    #[inline(always)]
    pub unsafe fn unpack<F: Super>(rows: &[*const F::Block; HALF_ROWS]) -> SixteenHeaders {
        let n_subs = SUPER_LEN / F::SUB_LEN;
        // SAFETY: the caller's promise.
        unsafe {
            let zero = _mm512_setzero_si512();
            let (mut sub_scales, mut sub_minimums) = ([zero; 4], [zero; 4]);
            let mut scales = [0; HALF_ROWS];
            for i in 0..4 {
                let blocks = [&*rows[i], &*rows[i + 4], &*rows[i + 8], &*rows[i + 12]];
                let headers = headers_of_four::<F>(blocks);
                (sub_scales[i], sub_minimums[i]) = (headers.sub_scales, headers.sub_minimums);
                for (lane, &pair) in headers.scales.iter().enumerate() {
                    scales[4 * lane + i] = pair;
                }
            }
            let scales = _mm512_loadu_si512(scales.as_ptr().cast());
            let mut all = SixteenHeaders {
                scales: low_f16(scales),
                minimums: high_f16(scales),
                sub_scales: [zero; N_PIECES],
                sub_minimums: [zero; N_PIECES / 2],
            };
            // Element r of register i: what pieces 4 * i.. of row r have, a byte each.
            let (sub_scales, sub_minimums) = (transpose(&sub_scales), transpose(&sub_minimums));
            for sub in 0..n_subs {
                let piece = sub * F::SUB_LEN / PIECE_LEN;
                all.sub_scales[sub] = sign_extended(sub_scales[piece / 4])[piece % 4];
            }
            if F::HAS_MINIMUM {
                for pair in 0..n_subs / 2 {
                    let piece = 2 * pair * F::SUB_LEN / PIECE_LEN;
                    let four = sub_minimums[piece / 4];
                    all.sub_minimums[pair] = match F::SUB_LEN {
                        PIECE_LEN => pairs(four)[piece % 4 / 2],
                        _ => first_and_third(four),
                    };
                }
            }
            all
        }
    }
}

/// The sums of each two sub-blocks, from those of their pieces, as halves of 32 bits.
///
/// # Safety
/// The CPU must have this module's features.
#[inline(always)]
pub unsafe fn of_pairs<F: Super>(pieces: &[i16; N_PIECES]) -> [i32; N_PIECES / 2] {
    let mut pairs = [0; N_PIECES / 2];
    if !F::HAS_MINIMUM {
        return pairs;
    }
    // SAFETY: the features are the caller's promise; loads and stores are of the arrays' sizes.
    unsafe {
        let pieces = _mm256_loadu_si256(pieces.as_ptr().cast());
        if F::SUB_LEN == PIECE_LEN {
            _mm256_storeu_si256(pairs.as_mut_ptr().cast(), pieces);
        } else {
            let subs = _mm256_madd_epi16(pieces, _mm256_set1_epi16(1));
            _mm_storeu_si128(pairs.as_mut_ptr().cast(), _mm256_cvtepi32_epi16(subs));
        }
    }
    pairs
}

/// The four signed bytes of each element as 32-bit integers.
#[inline(always)]
unsafe fn sign_extended(bytes: __m512i) -> [__m512i; 4] {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        [
            _mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(bytes)),
            _mm512_srai_epi32::<24>(_mm512_slli_epi32::<16>(bytes)),
            _mm512_srai_epi32::<24>(_mm512_slli_epi32::<8>(bytes)),
            _mm512_srai_epi32::<24>(bytes),
        ]
    }
}

/// The first and the last two signed bytes of each element as pairs of 16-bit integers.
#[inline(always)]
unsafe fn pairs(bytes: __m512i) -> [__m512i; 2] {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let low = first_and_third(bytes);
        let high = _mm512_srai_epi16::<8>(bytes);
        // Words of `low`: bytes 0 and 2; of `high`: bytes 1 and 3.
        let first = _mm512_mask_blend_epi16(0xaaaa_aaaa, low, _mm512_slli_epi32::<16>(high));
        let second = _mm512_mask_blend_epi16(0xaaaa_aaaa, _mm512_srli_epi32::<16>(low), high);
        [first, second]
    }
}

/// The first and the third signed byte of each element as 16-bit integers.
#[inline(always)]
unsafe fn first_and_third(bytes: __m512i) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe { _mm512_srai_epi16::<8>(_mm512_slli_epi16::<8>(bytes)) }
}
