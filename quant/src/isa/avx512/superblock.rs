//! Products of formats with blocks of 256: one token here, several in [`SuperTile`].

use super::codes::{Blocks, PIECE_LEN, load_lanes, max_unsigned, piece, unroll};
use super::dot::IntegerDot;
use super::super_tile::SuperTile;
use super::tile;
use crate::format::{SUPER_LEN, Super};
use crate::registry::Product;
use std::arch::x86_64::*;

/// The family's kernel; see [`Super`] for the sum.
///
/// # Safety
/// The CPU must have this module's features and those of `D`.
#[inline(always)]
pub unsafe fn multiply<F: Super, D: IntegerDot>(product: Product<'_, F>) {
    // SAFETY: the caller's promise.
    unsafe {
        match product.tokens {
            [] => {}
            &[token] => multiply_one::<F, D>(product, token),
            _ => tile::multiply_many::<F, SuperTile<F>, D>(product),
        }
    }
}

/// Activations that meet one block.
#[derive(Clone, Copy)]
struct BlockActivations<'a> {
    codes: &'a [i8; SUPER_LEN],
    scale: f32,
    sums: &'a [i16; 16],
}

/// One token: four rows at a time, a row in each lane.
#[inline(always)]
unsafe fn multiply_one<F: Super, D: IntegerDot>(product: Product<'_, F>, token: u32) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    let codes = product.x.codes(token).as_chunks().0;
    let (scales, sums) = (product.x.scales(token), product.x.sums(token).as_chunks().0);
    let row = |row_idx: usize| &product.weights[row_idx * blocks_per_row..][..blocks_per_row];
    for (group_idx, out) in product.out.chunks_mut(4).enumerate() {
        let rows: [_; 4] = std::array::from_fn(|r| row((4 * group_idx + r).min(n_rows - 1)));
        // SAFETY: the caller's promise.
        unsafe {
            let mut acc = _mm_setzero_ps();
            for block_idx in 0..blocks_per_row {
                let x = BlockActivations {
                    codes: &codes[block_idx],
                    scale: scales[block_idx],
                    sums: &sums[block_idx],
                };
                acc = add_block::<F, D>(acc, rows.map(|row| &row[block_idx]), x);
            }
            let mut values = [0.0; 4];
            _mm_storeu_ps(values.as_mut_ptr(), acc);
            out.copy_from_slice(&values[..out.len()]);
        }
    }
}

/// Adds to the sums of four rows what one block of each contributes.
#[inline(always)]
unsafe fn add_block<F: Super, D: IntegerDot>(
    acc: __m128,
    rows: [&F::Block; 4],
    x: BlockActivations<'_>,
) -> __m128 {
    let headers = rows.map(F::scales);
    let blocks: Blocks = rows.map(|block| std::ptr::from_ref(block).cast());
    let max = const { max_unsigned(&F::LAYOUT) };
    // SAFETY: the caller's promise about features; all loads stay inside of blocks, headers or `x`.
    unsafe {
        let sub_scales = load_lanes(headers.each_ref().map(|h| h.sub_scales.as_ptr().cast()), 0);
        // The sub-scales of the first and the second half of the block, as 16-bit integers.
        let low = _mm512_srai_epi16::<8>(_mm512_unpacklo_epi8(sub_scales, sub_scales));
        let high = _mm512_srai_epi16::<8>(_mm512_unpackhi_epi8(sub_scales, sub_scales));
        let mut dots = _mm512_setzero_si512();
        unroll!(PIECE in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
            let unsigned = piece(&F::LAYOUT, blocks, PIECE);
            let codes = _mm_loadu_si128(x.codes.as_ptr().add(PIECE * PIECE_LEN).cast());
            let codes = _mm512_broadcast_i32x4(codes);
            let (both, sub) = (if PIECE < 8 { low } else { high }, (PIECE % 8) as i16);
            if max <= 128 {
                let bytes = _mm512_set1_epi16((2 * sub + 1) << 8 | 2 * sub);
                let scale = _mm512_shuffle_epi8(both, bytes);
                dots = D::dot2(dots, _mm512_maddubs_epi16(unsigned, codes), scale);
            } else {
                let bytes = _mm512_set1_epi32(i32::from((2 * sub + 1) << 8 | 2 * sub) << 16);
                let scale = _mm512_srai_epi32::<16>(_mm512_shuffle_epi8(both, bytes));
                let dot = D::dot4(_mm512_setzero_si512(), unsigned, codes, max);
                dots = _mm512_add_epi32(dots, _mm512_mullo_epi32(dot, scale));
            }
        });
        let x_sums = _mm256_loadu_si256(x.sums.as_ptr().cast());
        let x_low = _mm512_broadcast_i32x4(_mm256_castsi256_si128(x_sums));
        let x_high = _mm512_broadcast_i32x4(_mm256_extracti128_si256::<1>(x_sums));
        if F::LAYOUT.offset() != 0 {
            let sums = D::dot2(_mm512_setzero_si512(), low, x_low);
            let sums = D::dot2(sums, high, x_high);
            let offsets = _mm512_mullo_epi32(sums, _mm512_set1_epi32(F::LAYOUT.offset()));
            dots = _mm512_sub_epi32(dots, offsets);
        }
        let x_scale = _mm_set1_ps(x.scale);
        let scales = _mm_mul_ps(_mm_loadu_ps(headers.map(|h| h.scale.to_f32()).as_ptr()), x_scale);
        let acc = _mm_fmadd_ps(scales, _mm_cvtepi32_ps(sum_lanes(dots)), acc);
        if !F::HAS_MINIMUM {
            return acc;
        }
        let minimums = headers.each_ref().map(|h| h.sub_minimums.as_ptr());
        let minimums = load_lanes(minimums, 0);
        let zero = _mm512_setzero_si512();
        let sums = D::dot2(zero, _mm512_unpacklo_epi8(minimums, zero), x_low);
        let sums = D::dot2(sums, _mm512_unpackhi_epi8(minimums, zero), x_high);
        let scales =
            _mm_mul_ps(_mm_loadu_ps(headers.map(|h| h.minimum.to_f32()).as_ptr()), x_scale);
        _mm_fnmadd_ps(scales, _mm_cvtepi32_ps(sum_lanes(sums)), acc)
    }
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
