//! GEMV with K-quants, super-blocks of 256.

use super::Rows;
use crate::activations::Tokens;
use crate::codebook::Decoded;
use crate::format::{SUPER_LEN, Super};
use crate::isa::avx512::codebook::decoded;
use crate::isa::avx512::dot::IntegerDot;
use crate::isa::avx512::headers::super_block::FourHeaders;
use crate::isa::avx512::prefetch::{STREAM_DISTANCE, prefetch};
use crate::isa::avx512::unpack::{Blocks, LANE_LEN, max_unsigned, unpack16};
use crate::isa::stamp::{each, unroll};
use crate::product::Product;
use std::arch::x86_64::*;

/// GEMV for `N` tokens: four rows at a time, a row in each lane. See [`Super`] for the sum.
///
/// # Safety
/// The CPU must have the features of AVX-512's module and those of `D`.
#[inline(always)]
pub unsafe fn multiply<F: Super, D: IntegerDot, const N: usize>(product: Product<'_, F>) {
    let rows = Rows::new(&product);
    let x = product.x.tokens::<N>(0);
    let mut scratch = [Decoded::ZERO; 4];
    for i in 0..rows.n {
        let starts = rows.starts(i);
        // SAFETY: the caller's promise; each row has as many blocks.
        unsafe {
            let mut sums = [_mm_setzero_ps(); N];
            for block_idx in 0..rows.blocks_per_row {
                let blocks: Blocks =
                    each!(r in [0 1 2 3] => starts[r].wrapping_add(block_idx).cast());
                let codes = decoded::<F>(blocks, &mut scratch);
                sums = add_block::<F, D, N>(sums, blocks, codes, x, block_idx);
                for block in blocks {
                    prefetch(block.cast::<F::Block>(), STREAM_DISTANCE);
                }
            }
            rows.store(i, sums, product.out);
        }
    }
}

/// Adds to each token's sums of four rows what one block of each contributes; `codes` are the
/// blocks, decoded if they have a codebook.
#[inline(always)]
unsafe fn add_block<F: Super, D: IntegerDot, const N: usize>(
    mut acc: [__m128; N],
    blocks: Blocks,
    codes: Blocks,
    x: Tokens<'_, N>,
    block_idx: usize,
) -> [__m128; N] {
    let (x_codes, x_scales) = (x.codes::<SUPER_LEN>(block_idx), x.scales(block_idx));
    let x_sums = x.sums::<16>(block_idx);
    let max = const { max_unsigned(&F::LAYOUT) };
    // SAFETY: the caller's promise about features; all loads stay inside of blocks or `x`.
    unsafe {
        let headers = FourHeaders::unpack::<F>(blocks);
        // The sub-scales of the first and the second half of the block, as 16-bit integers.
        let low =
            _mm512_srai_epi16::<8>(_mm512_unpacklo_epi8(headers.sub_scales, headers.sub_scales));
        let high =
            _mm512_srai_epi16::<8>(_mm512_unpackhi_epi8(headers.sub_scales, headers.sub_scales));
        let mut dots = [_mm512_setzero_si512(); N];
        unroll!(PAIR in [0 1 2 3 4 5 6 7] {
            let first = unpack16(&F::LAYOUT, codes, 2 * PAIR);
            let second = unpack16(&F::LAYOUT, codes, 2 * PAIR + 1);
            let both = if PAIR < 4 { low } else { high };
            let first_scale = broadcast_word(both, 2 * PAIR % 8);
            for t in 0..N {
                let x_first = broadcast_sixteen(&x_codes[t], 2 * PAIR);
                let x_second = broadcast_sixteen(&x_codes[t], 2 * PAIR + 1);
                if max <= 128 {
                    // Products of neighbours fit into 16 bits; of two sixteens, if the codes are small.
                    let first = _mm512_maddubs_epi16(first, x_first);
                    let second = _mm512_maddubs_epi16(second, x_second);
                    if F::SUB_LEN == 2 * LANE_LEN && max <= 64 {
                        let both = _mm512_add_epi16(first, second);
                        dots[t] = D::dot2(dots[t], both, first_scale);
                    } else {
                        let second_scale = broadcast_word(both, 2 * PAIR % 8 + 1);
                        dots[t] = D::dot2(dots[t], first, first_scale);
                        dots[t] = D::dot2(dots[t], second, second_scale);
                    }
                } else {
                    const {
                        let is_narrow = max_unsigned(&F::LAYOUT) <= 128;
                        assert!(F::SUB_LEN == 2 * LANE_LEN || is_narrow)
                    };
                    let dot = D::dot4(_mm512_setzero_si512(), first, x_first, max);
                    let dot = D::dot4(dot, second, x_second, max);
                    let scale = _mm512_srai_epi32::<16>(first_scale);
                    dots[t] = _mm512_add_epi32(dots[t], _mm512_mullo_epi32(dot, scale));
                }
            }
        });
        let zero = _mm512_setzero_si512();
        for t in 0..N {
            let x_sums = _mm256_loadu_si256(x_sums[t].as_ptr().cast());
            let x_low = _mm512_broadcast_i32x4(_mm256_castsi256_si128(x_sums));
            let x_high = _mm512_broadcast_i32x4(_mm256_extracti128_si256::<1>(x_sums));
            if F::LAYOUT.offset() != 0 {
                let sums = D::dot2(zero, low, x_low);
                let sums = D::dot2(sums, high, x_high);
                let offsets = _mm512_mullo_epi32(sums, _mm512_set1_epi32(F::LAYOUT.offset()));
                dots[t] = _mm512_sub_epi32(dots[t], offsets);
            }
            let x_scale = _mm_set1_ps(x_scales[t]);
            let scale = _mm_mul_ps(headers.scales, x_scale);
            acc[t] = _mm_fmadd_ps(scale, _mm_cvtepi32_ps(sum_lanes(dots[t])), acc[t]);
            if F::HAS_MINIMUM {
                let sums = D::dot2(zero, _mm512_unpacklo_epi8(headers.sub_minimums, zero), x_low);
                let sums = D::dot2(sums, _mm512_unpackhi_epi8(headers.sub_minimums, zero), x_high);
                let scale = _mm_mul_ps(headers.minimums, x_scale);
                acc[t] = _mm_fnmadd_ps(scale, _mm_cvtepi32_ps(sum_lanes(sums)), acc[t]);
            }
        }
        acc
    }
}

/// Sixteen activations in every lane.
#[inline(always)]
unsafe fn broadcast_sixteen(codes: &[i8; SUPER_LEN], sixteen: usize) -> __m512i {
    let codes = &codes[sixteen * LANE_LEN..][..LANE_LEN];
    // SAFETY: the features are the caller's promise; the slice has a lane's sixteen bytes.
    unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(codes.as_ptr().cast())) }
}

/// Within each lane, 16-bit element `n` everywhere.
#[inline(always)]
unsafe fn broadcast_word(words: __m512i, n: usize) -> __m512i {
    let bytes = ((2 * n + 1) << 8) | (2 * n);
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe { _mm512_shuffle_epi8(words, _mm512_set1_epi16(bytes as i16)) }
}

/// The sum of each lane.
#[inline(always)]
unsafe fn sum_lanes(lanes: __m512i) -> __m128i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let pairs = _mm512_add_epi32(lanes, _mm512_shuffle_epi32::<_MM_PERM_CDAB>(lanes));
        let sums = _mm512_add_epi32(pairs, _mm512_shuffle_epi32::<_MM_PERM_BADC>(pairs));
        let first_of_each = _mm512_set_epi32(12, 8, 4, 0, 12, 8, 4, 0, 12, 8, 4, 0, 12, 8, 4, 0);
        _mm512_castsi512_si128(_mm512_permutexvar_epi32(first_of_each, sums))
    }
}
