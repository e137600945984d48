//! Products of formats with blocks of 256: one token here, several in [`SuperTile`].

use super::codes::{
    Blocks, PIECE_LEN, STREAM_DISTANCE, headers_of_four, high_f16, low_f16, max_unsigned, piece,
    prefetch, unroll,
};
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
        match product.n_tokens() {
            0 => {}
            1 => multiply_one::<F, D>(product),
            _ => tile::multiply_many::<F, SuperTile<F, D>>(product),
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

/// One token: four rows at a time, a row in each lane; the same rows as in `flat`.
#[inline(always)]
unsafe fn multiply_one<F: Super, D: IntegerDot>(product: Product<'_, F>) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    let x = product.x.groups().next().expect("one token");
    let (codes, scales, sums) = (x.codes(), x.scales(), x.sums());
    let (codes, sums) = (codes.as_chunks().0, sums.as_chunks().0);
    let row = |row_idx: usize| &product.weights[row_idx * blocks_per_row..][..blocks_per_row];
    let quarter = n_rows.div_ceil(4);
    for i in 0..quarter {
        let r = |stream: usize| (stream * quarter + i).min(n_rows - 1);
        let rows = [row(r(0)), row(r(1)), row(r(2)), row(r(3))];
        // SAFETY: the caller's promise.
        unsafe {
            let mut acc = _mm_setzero_ps();
            for block_idx in 0..blocks_per_row {
                let x = BlockActivations {
                    codes: &codes[block_idx],
                    scale: scales[block_idx],
                    sums: &sums[block_idx],
                };
                let [a, b, c, d] = rows;
                let blocks = [&a[block_idx], &b[block_idx], &c[block_idx], &d[block_idx]];
                acc = add_block::<F, D>(acc, blocks, x);
                for block in blocks {
                    prefetch(block, STREAM_DISTANCE);
                }
            }
            let mut values = [0.0; 4];
            _mm_storeu_ps(values.as_mut_ptr(), acc);
            for (stream, value) in values.into_iter().enumerate() {
                if let Some(out) = product.out.get_mut(stream * quarter + i) {
                    *out = value;
                }
            }
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
    let blocks: Blocks = {
        let address = |row: usize| std::ptr::from_ref(rows[row]).cast::<u8>();
        [address(0), address(1), address(2), address(3)]
    };
    let max = const { max_unsigned(&F::LAYOUT) };
    // SAFETY: the caller's promise about features; all loads stay inside of blocks or `x`.
    unsafe {
        let headers = headers_of_four::<F>(rows);
        // The sub-scales of the first and the second half of the block, as 16-bit integers.
        let low =
            _mm512_srai_epi16::<8>(_mm512_unpacklo_epi8(headers.sub_scales, headers.sub_scales));
        let high =
            _mm512_srai_epi16::<8>(_mm512_unpackhi_epi8(headers.sub_scales, headers.sub_scales));
        let mut dots = _mm512_setzero_si512();
        unroll!(PAIR in [0 1 2 3 4 5 6 7] {
            let first = piece(&F::LAYOUT, blocks, 2 * PAIR);
            let second = piece(&F::LAYOUT, blocks, 2 * PAIR + 1);
            let x_first = broadcast_piece(x.codes, 2 * PAIR);
            let x_second = broadcast_piece(x.codes, 2 * PAIR + 1);
            let both = if PAIR < 4 { low } else { high };
            if max <= 128 {
                // Products of neighbours fit into 16 bits; of two pieces, if the codes are small.
                let first_scale = broadcast_word(both, 2 * PAIR % 8);
                let first = _mm512_maddubs_epi16(first, x_first);
                let second = _mm512_maddubs_epi16(second, x_second);
                if F::SUB_LEN == 2 * PIECE_LEN && max <= 64 {
                    dots = D::dot2(dots, _mm512_add_epi16(first, second), first_scale);
                } else {
                    dots = D::dot2(dots, first, first_scale);
                    dots = D::dot2(dots, second, broadcast_word(both, 2 * PAIR % 8 + 1));
                }
            } else {
                const { assert!(F::SUB_LEN == 2 * PIECE_LEN || max_unsigned(&F::LAYOUT) <= 128) };
                let dot = D::dot4(_mm512_setzero_si512(), first, x_first, max);
                let dot = D::dot4(dot, second, x_second, max);
                let scale = _mm512_srai_epi32::<16>(broadcast_word(both, 2 * PAIR % 8));
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
        let [a, b, c, d] = headers.scales;
        let scales = _mm512_castsi128_si512(_mm_set_epi32(d, c, b, a));
        let x_scale = _mm_set1_ps(x.scale);
        let scale = _mm_mul_ps(_mm512_castps512_ps128(low_f16(scales)), x_scale);
        let acc = _mm_fmadd_ps(scale, _mm_cvtepi32_ps(sum_lanes(dots)), acc);
        if !F::HAS_MINIMUM {
            return acc;
        }
        let zero = _mm512_setzero_si512();
        let sums = D::dot2(zero, _mm512_unpacklo_epi8(headers.sub_minimums, zero), x_low);
        let sums = D::dot2(sums, _mm512_unpackhi_epi8(headers.sub_minimums, zero), x_high);
        let scale = _mm_mul_ps(_mm512_castps512_ps128(high_f16(scales)), x_scale);
        _mm_fnmadd_ps(scale, _mm_cvtepi32_ps(sum_lanes(sums)), acc)
    }
}

/// Sixteen activations in every lane.
#[inline(always)]
unsafe fn broadcast_piece(codes: &[i8; SUPER_LEN], piece: usize) -> __m512i {
    let codes = &codes[piece * PIECE_LEN..][..PIECE_LEN];
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
