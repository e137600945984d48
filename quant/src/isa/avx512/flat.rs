//! Products of formats with blocks of 32: one token here, several in [`FlatTile`].

use super::codes::{
    Blocks, STREAM_DISTANCE, headers, high_f16, low_f16, max_unsigned, piece, prefetch, sum_quads,
};
use super::dot::IntegerDot;
use super::flat_tile::FlatTile;
use super::tile;
use crate::format::{FLAT_LEN, Flat};
use crate::registry::Product;
use std::arch::x86_64::*;

/// The family's kernel; see [`Flat`] for the sum.
///
/// # Safety
/// The CPU must have this module's features and those of `D`.
#[inline(always)]
pub unsafe fn multiply<F: Flat, D: IntegerDot>(product: Product<'_, F>) {
    // SAFETY: the caller's promise.
    unsafe {
        match product.n_tokens() {
            0 => {}
            1 => multiply_one::<F, D>(product),
            _ => tile::multiply_many::<F, FlatTile<F, D>>(product),
        }
    }
}

/// Activations that meet four consecutive blocks.
struct QuadActivations<'a> {
    codes: &'a [[i8; FLAT_LEN]; 4],
    scales: &'a [f32; 4],
    sums: &'a [i16; 4],
}

/// One token: four rows at a time, four blocks of each row in the lanes.
///
/// The four rows are a quarter of the matrix apart, which makes four long streams: memory answers
/// them faster than one stream, or four that jump from row to row.
#[inline(always)]
unsafe fn multiply_one<F: Flat, D: IntegerDot>(product: Product<'_, F>) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    let x = product.x.groups().next().expect("one token");
    let (codes, scales, sums) = (x.codes(), x.scales(), x.sums());
    let (codes, last_codes) = codes.as_chunks().0.as_chunks();
    let (scales, last_scales) = scales.as_chunks();
    let (sums, last_sums) = sums.as_chunks();
    let row = |row_idx: usize| &product.weights[row_idx * blocks_per_row..][..blocks_per_row];
    let last = blocks_per_row - 1;
    let quarter = n_rows.div_ceil(4);
    for i in 0..quarter {
        let r = |stream: usize| (stream * quarter + i).min(n_rows - 1);
        let rows = [row(r(0)), row(r(1)), row(r(2)), row(r(3))];
        let (quads0, quads1) = (rows[0].as_chunks::<4>().0, rows[1].as_chunks::<4>().0);
        let (quads2, quads3) = (rows[2].as_chunks::<4>().0, rows[3].as_chunks::<4>().0);
        // SAFETY: the caller's promise.
        unsafe {
            let mut acc = _mm_setzero_ps();
            let x = codes.iter().zip(scales).zip(sums);
            for (quad, ((codes, scales), sums)) in x.enumerate() {
                let rows = [&quads0[quad], &quads1[quad], &quads2[quad], &quads3[quad]];
                let x = QuadActivations { codes, scales, sums };
                acc = add_quad::<F, D>(acc, rows, x, 4);
                for row in rows {
                    prefetch(row, STREAM_DISTANCE);
                }
            }
            let n = last_scales.len();
            if n > 0 {
                // Blocks beyond the end are copies of the last; what they give is not added.
                let block = |row: usize, i: usize| rows[row][(last + 1 - n + i).min(last)];
                let quad = |row| [block(row, 0), block(row, 1), block(row, 2), block(row, 3)];
                let (mut codes, mut scales, mut sums) = ([[0; FLAT_LEN]; 4], [0.0; 4], [0; 4]);
                codes[..n].copy_from_slice(last_codes);
                scales[..n].copy_from_slice(last_scales);
                sums[..n].copy_from_slice(last_sums);
                let x = QuadActivations { codes: &codes, scales: &scales, sums: &sums };
                let rows = [&quad(0), &quad(1), &quad(2), &quad(3)];
                acc = add_quad::<F, D>(acc, rows, x, n);
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

/// Adds to the sums of four rows what the first `n` of four blocks of each contribute.
#[inline(always)]
unsafe fn add_quad<F: Flat, D: IntegerDot>(
    mut acc: __m128,
    rows: [&[F::Block; 4]; 4],
    x: QuadActivations<'_>,
    n: usize,
) -> __m128 {
    let address = |row: usize, block: usize| (&raw const rows[row][block]).cast::<u8>();
    // SAFETY: the caller's promise about features; all loads stay inside of blocks or of `x`.
    unsafe {
        let x_low = _mm512_loadu_si512(x.codes.as_ptr().cast());
        let x_high = _mm512_loadu_si512(x.codes.as_ptr().add(2).cast());
        // Lane b: the first and the second half of block b's activations.
        let x_first = _mm512_shuffle_i32x4::<0b10_00_10_00>(x_low, x_high);
        let x_second = _mm512_shuffle_i32x4::<0b11_01_11_01>(x_low, x_high);
        let mut dots = [_mm512_setzero_si512(); 4];
        for (row, dot) in dots.iter_mut().enumerate() {
            let blocks: Blocks =
                [address(row, 0), address(row, 1), address(row, 2), address(row, 3)];
            let max = const { max_unsigned(&F::LAYOUT) };
            *dot = D::dot4(*dot, piece(&F::LAYOUT, blocks, 0), x_first, max);
            *dot = D::dot4(*dot, piece(&F::LAYOUT, blocks, 1), x_second, max);
        }
        // From here on, lane b, element r is block b of row r.
        let each_lane = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
        let x_scales = _mm512_castps128_ps512(_mm_loadu_ps(x.scales.as_ptr()));
        let x_scales = _mm512_permutexvar_ps(each_lane, x_scales);
        let x_sums = _mm_cvtepi16_epi32(_mm_loadl_epi64(x.sums.as_ptr().cast()));
        let x_sums = _mm512_permutexvar_epi32(each_lane, _mm512_castsi128_si512(x_sums));
        let offsets = _mm512_mullo_epi32(x_sums, _mm512_set1_epi32(F::LAYOUT.offset()));
        let sums = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum_quads(&dots), offsets));

        let headers = headers(|block, row| address(row, block));
        let scales = lanes(_mm512_mul_ps(low_f16(headers), x_scales));
        let sums = lanes(sums);
        let minimums = lanes(high_f16(headers));
        let x_sums = lanes(_mm512_mul_ps(x_scales, _mm512_cvtepi32_ps(x_sums)));
        for block in 0..n {
            acc = _mm_fmadd_ps(scales[block], sums[block], acc);
            if F::HAS_MINIMUM {
                acc = _mm_fmadd_ps(minimums[block], x_sums[block], acc);
            }
        }
        acc
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
