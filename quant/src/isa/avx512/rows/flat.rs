//! GEMV with legacy formats, blocks of 32.

use super::Rows;
use crate::activations::Tokens;
use crate::format::{FLAT_LEN, Flat};
use crate::isa::avx512::dot::IntegerDot;
use crate::isa::avx512::prefetch::{STREAM_DISTANCE, prefetch};
use crate::isa::avx512::unpack::{Blocks, high_f16, load_lanes, low_f16, max_unsigned, unpack16};
use crate::isa::stamp::unroll;
use crate::product::Product;
use std::arch::x86_64::*;

/// GEMV for `N` tokens: four rows at a time, four blocks of each row in the lanes. See [`Flat`] for
/// the sum.
///
/// # Safety
/// The CPU must have the features of AVX-512's module and those of `D`.
#[inline(always)]
pub unsafe fn multiply<F: Flat, D: IntegerDot, const N: usize>(product: Product<'_, F>) {
    let rows = Rows::new(&product);
    let x = product.x.tokens::<N>(0);
    let last = rows.blocks_per_row - 1;
    for i in 0..rows.n {
        let starts = rows.starts(i);
        // SAFETY: the caller's promise; blocks are those of the rows.
        unsafe {
            let mut sums = [_mm_setzero_ps(); N];
            for first in (0..rows.blocks_per_row).step_by(4) {
                if first + 3 <= last {
                    let quad = [first, first + 1, first + 2, first + 3];
                    sums = add_quad::<F, D, N, true>(sums, starts, x, quad, 4);
                    for row in starts {
                        prefetch(row.wrapping_add(first).cast::<[F::Block; 4]>(), STREAM_DISTANCE);
                    }
                } else {
                    // Blocks beyond the end are the last once more; what they give is not added.
                    let quad = [first, last.min(first + 1), last.min(first + 2), last];
                    sums = add_quad::<F, D, N, false>(sums, starts, x, quad, last + 1 - first);
                }
            }
            rows.store(i, sums, product.out);
        }
    }
}

/// Adds to each token's sums of four rows what the first `n` of four blocks of each contribute; all
/// of them, one after the other, if `WHOLE`.
#[inline(always)]
unsafe fn add_quad<F: Flat, D: IntegerDot, const N: usize, const WHOLE: bool>(
    mut acc: [__m128; N],
    rows: [*const F::Block; 4],
    x: Tokens<'_, N>,
    quad: [usize; 4],
    n: usize,
) -> [__m128; N] {
    let address = |row: usize, block: usize| rows[row].wrapping_add(quad[block]).cast::<u8>();
    let [a, b, c, d] = quad;
    let x_scales = [x.scales(a), x.scales(b), x.scales(c), x.scales(d)];
    let x_sums = [x.sums::<1>(a), x.sums::<1>(b), x.sums::<1>(c), x.sums::<1>(d)];
    // SAFETY: the caller's promise about features; all loads stay inside of blocks or of `x`.
    unsafe {
        let mut dots = [[_mm512_setzero_si512(); 4]; N];
        let mut x_codes = [[_mm512_setzero_si512(); 2]; N];
        for t in 0..N {
            x_codes[t] = quad_codes::<N, WHOLE>(x, quad, t);
        }
        for row in 0..4 {
            let blocks: Blocks =
                [address(row, 0), address(row, 1), address(row, 2), address(row, 3)];
            let max = const { max_unsigned(&F::LAYOUT) };
            let (first, second) =
                (unpack16(&F::LAYOUT, blocks, 0), unpack16(&F::LAYOUT, blocks, 1));
            for t in 0..N {
                let [x_first, x_second] = x_codes[t];
                dots[t][row] = D::dot4(dots[t][row], first, x_first, max);
                dots[t][row] = D::dot4(dots[t][row], second, x_second, max);
            }
        }
        let headers = headers(|block, row| address(row, block));
        let (scales, minimums) = (low_f16(headers), lanes(high_f16(headers)));
        let each_lane = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
        for t in 0..N {
            let [a, b, c, d] = x_scales.map(|scales| scales[t]);
            let x_scales = _mm512_castps128_ps512(_mm_set_ps(d, c, b, a));
            let x_scales = _mm512_permutexvar_ps(each_lane, x_scales);
            let [a, b, c, d] = x_sums.map(|sums| i32::from(sums[t][0]));
            let x_sums = _mm512_castsi128_si512(_mm_set_epi32(d, c, b, a));
            let x_sums = _mm512_permutexvar_epi32(each_lane, x_sums);
            // From here on, lane b, element r is block b of row r.
            let offsets = _mm512_mullo_epi32(x_sums, _mm512_set1_epi32(F::LAYOUT.offset()));
            let sums = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum_quads(&dots[t]), offsets));
            let scales = lanes(_mm512_mul_ps(scales, x_scales));
            let sums = lanes(sums);
            let x_sums = lanes(_mm512_mul_ps(x_scales, _mm512_cvtepi32_ps(x_sums)));
            for block in 0..n {
                acc[t] = _mm_fmadd_ps(scales[block], sums[block], acc[t]);
                if F::HAS_MINIMUM {
                    acc[t] = _mm_fmadd_ps(minimums[block], x_sums[block], acc[t]);
                }
            }
        }
        acc
    }
}

/// The first and the second half of a token's activations for four blocks, a block in each lane.
#[inline(always)]
unsafe fn quad_codes<const N: usize, const WHOLE: bool>(
    x: Tokens<'_, N>,
    quad: [usize; 4],
    t: usize,
) -> [__m512i; 2] {
    let [a, b, c, d] = quad;
    let codes = |block| x.codes::<FLAT_LEN>(block)[t].as_ptr().cast::<u8>();
    let blocks: Blocks = [codes(a), codes(b), codes(c), codes(d)];
    // SAFETY: the features are the caller's promise; each address is that of a block's codes, and
    // those of an only token's blocks follow each other.
    unsafe {
        if N == 1 && WHOLE {
            let low = _mm512_loadu_si512(blocks[0].cast());
            let high = _mm512_loadu_si512(blocks[2].cast());
            let first = _mm512_shuffle_i32x4::<0b10_00_10_00>(low, high);
            return [first, _mm512_shuffle_i32x4::<0b11_01_11_01>(low, high)];
        }
        [load_lanes(blocks, 0), load_lanes(blocks, 16)]
    }
}

/// A register's four lanes.
#[inline(always)]
unsafe fn lanes(register: __m512) -> [__m128; 4] {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        [
            _mm512_castps512_ps128(register),
            _mm512_extractf32x4_ps::<1>(register),
            _mm512_extractf32x4_ps::<2>(register),
            _mm512_extractf32x4_ps::<3>(register),
        ]
    }
}

/// Within each lane, element `i` of the result is the sum of register `i`'s four.
#[inline(always)]
unsafe fn sum_quads(rows: &[__m512i; 4]) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let pairs01 = sum_pairs(rows[0], rows[1]);
        let pairs23 = sum_pairs(rows[2], rows[3]);
        let low = _mm512_unpacklo_epi64(pairs01, pairs23);
        _mm512_add_epi32(low, _mm512_unpackhi_epi64(pairs01, pairs23))
    }
}

/// Within each lane, the sums of elements 0 and 2 of `a` and of `b`, then of elements 1 and 3.
#[inline(always)]
unsafe fn sum_pairs(a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe { _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)) }
}

/// The first four bytes of sixteen blocks; `block` gives the address for element `4 * lane + i`.
///
/// # Safety
/// The addresses must be readable.
#[inline(always)]
unsafe fn headers(block: impl Fn(usize, usize) -> *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let mut lanes = _mm512_setzero_si512();
        unroll!(ELEMENT in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
            let header = block(ELEMENT / 4, ELEMENT % 4).cast::<i32>().read_unaligned();
            lanes = _mm512_mask_set1_epi32(lanes, 1 << ELEMENT, header);
        });
        lanes
    }
}
