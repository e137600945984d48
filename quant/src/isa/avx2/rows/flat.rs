//! GEMV with legacy formats, blocks of 32.

use super::*;
use crate::activations::Group;
use crate::format::{FLAT_LEN, Flat};
use crate::isa::avx2::unpack::{Sixteen, eight_f16, is_wide, unpack};
use crate::isa::stamp::each;
use crate::product::Product;

/// Blocks of a row that follow each other without a step of the eight addresses: with a step per
/// block, a quarter of all instructions would be steps.
const N_BLOCKS: usize = 4;

/// GEMV of a legacy format's matrix with `N` tokens; see [`Flat`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply<F: Flat, const N: usize>(product: Product<'_, F>) {
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let x = places::<F>(product.x.groups().next().expect("some tokens"));
    let (x, last_x) = x.as_chunks::<N>().0.as_chunks::<N_BLOCKS>();
    for rows in Rows::all(product.weights, n_rows, n_blocks) {
        let chunks = each!(r in [0 1 2 3 4 5 6 7] => {
            let (chunks, last) = rows.rows[r].as_chunks::<N_BLOCKS>();
            (&chunks[..x.len()], &last[..last_x.len()])
        });
        let mut sums = [_mm256_setzero_ps(); N];
        for (i, x) in x.iter().enumerate() {
            let blocks = each!(r in [0 1 2 3 4 5 6 7] => &chunks[r].0[i]);
            prefetch(blocks);
            each!(block in [0 1 2 3] => {
                let blocks = each!(r in [0 1 2 3 4 5 6 7] => &blocks[r][block]);
                // SAFETY: this function has AVX2, FMA and F16C.
                unsafe { add_block::<F, N>(&mut sums, blocks, &x[block]) };
            });
        }
        for (i, x) in last_x.iter().enumerate() {
            let blocks = each!(r in [0 1 2 3 4 5 6 7] => &chunks[r].1[i]);
            // SAFETY: this function has AVX2, FMA and F16C.
            unsafe { add_block::<F, N>(&mut sums, blocks, x) };
        }
        rows.store(sums, product.out);
    }
}

/// A token's activations for a block.
struct Place {
    codes: [i8; FLAT_LEN],
    /// What the codes' offset takes from the integer sum.
    offset: i32,
    /// What the minimum meets.
    scaled_sum: f32,
    scale: f32,
}

/// The activations, `[n_blocks, n_tokens]`, prepared once for all rows.
fn places<F: Flat>(x: Group<'_>) -> Vec<Place> {
    let offset = if is_wide(&F::LAYOUT) { 0 } else { F::LAYOUT.offset() };
    let blocks = x.codes().as_chunks().0.iter().zip(x.scales()).zip(x.sums());
    let places = blocks.map(|((&codes, &scale), &sum)| Place {
        codes,
        offset: -offset * i32::from(sum),
        scaled_sum: scale * f32::from(sum),
        scale,
    });
    places.collect()
}

/// Adds to each token's sums what a block of each row contributes.
///
/// # Safety
/// The CPU has AVX2, FMA and F16C.
#[inline(always)]
unsafe fn add_block<F: Flat, const N: usize>(
    sums: &mut [__m256; N],
    blocks: [&F::Block; N_ROWS],
    x: &[Place; N],
) {
    let blocks = each!(r in [0 1 2 3 4 5 6 7] => bytemuck::bytes_of(blocks[r]));
    // SAFETY: the caller's promise.
    unsafe {
        let weights = each!(pair in [0 1 2 3] => each!(i in [0 1] => {
            let halves = each!(half in [0 1] => {
                Sixteen { block: blocks[pair + N_PAIRS * half], first: 16 * i }
            });
            unpack(&F::LAYOUT, halves)
        }));
        let scales = eight_f16(blocks, 0);
        let minimums = if F::HAS_MINIMUM { eight_f16(blocks, 2) } else { scales };
        for t in 0..N {
            let x_codes = each!(i in [0 1] => twice(&x[t].codes.as_chunks().0[i]));
            let dots = each!(pair in [0 1 2 3] => pair_dots::<F>(weights[pair], x_codes));
            let dot = _mm256_add_epi32(sum_dots::<F>(dots), _mm256_set1_epi32(x[t].offset));
            let factor = _mm256_mul_ps(scales, _mm256_set1_ps(x[t].scale));
            sums[t] = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(dot), sums[t]);
            if F::HAS_MINIMUM {
                let x_sum = _mm256_set1_ps(x[t].scaled_sum);
                sums[t] = _mm256_fmadd_ps(minimums, x_sum, sums[t]);
            }
        }
    }
}

/// How many dwords of [`pair_dots`] add up in 16 bits: a word of one has four products.
const fn n_short<F: Flat>() -> usize {
    if is_wide(&F::LAYOUT) {
        0
    } else {
        i16::MAX as usize / (4 * 127 * F::LAYOUT.max_code() as usize)
    }
}

/// The dot products of two blocks, of a row in each half, as the sum of four dwords; they are still
/// two 16-bit sums each, unless those would be too large.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn pair_dots<F: Flat>(weights: [__m256i; 2], x_codes: [__m256i; 2]) -> __m256i {
    let [low, high] =
        each!(i in [0 1] => pair_products(is_wide(&F::LAYOUT), weights[i], x_codes[i]));
    const { assert!(n_short::<F>() != 1, "two dwords are added in 16 bits") };
    if const { n_short::<F>() == 0 } {
        _mm256_add_epi32(add_words(low), add_words(high))
    } else {
        _mm256_add_epi16(low, high)
    }
}

/// Adds up four pairs' [`pair_dots`]: in each half, dword `pair` is the sum of its row there.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sum_dots<F: Flat>([a, b, c, d]: [__m256i; N_PAIRS]) -> __m256i {
    let [mut ab, mut cd] = each!(i in [0 1] => {
        let (first, second) = if i == 0 { (a, b) } else { (c, d) };
        let (low, high) =
            (_mm256_unpacklo_epi32(first, second), _mm256_unpackhi_epi32(first, second));
        if const { n_short::<F>() < 2 } {
            _mm256_add_epi32(low, high)
        } else {
            _mm256_add_epi16(low, high)
        }
    });
    if const { matches!(n_short::<F>(), 2..4) } {
        (ab, cd) = (add_words(ab), add_words(cd));
    }
    let (low, high) = (_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    if const { n_short::<F>() < 4 } {
        _mm256_add_epi32(low, high)
    } else {
        add_words(_mm256_add_epi16(low, high))
    }
}

/// The sum of each element's 16-bit halves.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn add_words(words: __m256i) -> __m256i {
    _mm256_madd_epi16(words, _mm256_set1_epi16(1))
}
