//! GEMV with K-quants, super-blocks of 256. The headers of eight rows are unpacked together; pair
//! after pair of them then goes through the block.

use super::*;
use crate::activations::Group;
use crate::codebook::{Decoded, decoded};
use crate::format::{SUPER_LEN, Super};
use crate::isa::avx2::codebook::decode;
use crate::isa::avx2::headers::super_block::{Headers, sum_pairs};
use crate::isa::avx2::unpack::{is_wide, unpack_super};
use crate::isa::stamp::{each, unroll};
use crate::product::Product;
use std::hint::black_box;

/// Registers of a pair's block.
const N_SIXTEENS: usize = SUPER_LEN / 16;

/// GEMV of a K-quant's matrix with `N` tokens, up to eight, whose sums are in registers at once; see
/// [`Super`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply<F: Super, const N: usize>(product: Product<'_, F>) {
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let x = places::<F>(product.x.groups().next().expect("some tokens"));
    for rows in Rows::all(product.weights, n_rows, n_blocks) {
        rows.store(sums::<F, N>(&rows, x.as_chunks().0), product.out);
    }
}

/// A token's activations for a block, in the form that instructions take from memory.
struct Place {
    /// Each sixteen codes twice.
    codes: [__m256i; N_SIXTEENS],
    /// See [`sum_pairs`].
    sums: [i32; 8],
    scale: f32,
}

/// The activations, `[n_blocks, n_tokens]`, prepared once for all rows.
#[target_feature(enable = "avx2,fma,f16c")]
fn places<F: Super>(x: Group<'_>) -> Vec<Place> {
    let mut places = Vec::with_capacity(x.scales().len());
    let blocks = x.codes().as_chunks::<SUPER_LEN>().0.iter().zip(x.sums().as_chunks().0);
    for ((x_codes, sums), &scale) in blocks.zip(x.scales()) {
        let mut codes = [_mm256_setzero_si256(); N_SIXTEENS];
        for (to, codes) in codes.iter_mut().zip(x_codes.as_chunks().0) {
            *to = twice(codes);
        }
        // SAFETY: this function has AVX2.
        places.push(Place { codes, sums: unsafe { sum_pairs::<F>(sums) }, scale });
    }
    places
}

/// The sums of eight rows for `N` tokens.
#[target_feature(enable = "avx2,fma,f16c")]
fn sums<F: Super, const N: usize>(rows: &Rows<'_, F::Block>, x: &[[Place; N]]) -> [__m256; N] {
    let mut sums = [_mm256_setzero_ps(); N];
    let mut scratch = [Decoded::ZERO; N_ROWS];
    for (block_idx, x) in x.iter().enumerate() {
        let blocks = each!(r in [0 1 2 3 4 5 6 7] => &rows.rows[r][block_idx]);
        prefetch(blocks);
        let bytes = each!(r in [0 1 2 3 4 5 6 7] => bytemuck::bytes_of(blocks[r]));
        // SAFETY: this function has AVX2 and F16C.
        let headers = unsafe { Headers::unpack::<F>(bytes) };
        let codes = decoded::<F, N_ROWS>(blocks, &mut scratch, |block, to| decode::<F>(block, to));
        let mut dots = [[_mm256_setzero_si256(); N]; N_PAIRS];
        for pair in 0..N_PAIRS {
            let order = each!(i in [0 1] => {
                // SAFETY: the array is 32 bytes.
                unsafe { _mm256_loadu_si256(ORDERS[pair][i].as_ptr().cast()) }
            });
            let blocks = [codes[pair], codes[pair + N_PAIRS]];
            // Instructions take activations from where they lie. Did the compiler know that they are
            // the same for all pairs, it would load them first and keep them elsewhere in memory.
            let x = black_box(x);
            // SAFETY: this function has AVX2.
            dots[pair] = unsafe { pair_dots::<F, N>(blocks, &headers.sub_scales, order, x) };
        }
        for t in 0..N {
            let mut dot = sum_dwords(each!(pair in [0 1 2 3] => dots[pair][t]));
            let met = meet::<F>(&headers.pairs, &x[t].sums);
            if !is_wide(&F::LAYOUT) && F::LAYOUT.offset() != 0 {
                let offset = _mm256_set1_epi32(F::LAYOUT.offset());
                dot = _mm256_sub_epi32(dot, _mm256_mullo_epi32(met, offset));
            }
            let x_scale = _mm256_set1_ps(x[t].scale);
            let factor = _mm256_mul_ps(headers.scales, x_scale);
            sums[t] = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(dot), sums[t]);
            if F::HAS_MINIMUM {
                let factor = _mm256_mul_ps(headers.minimums, x_scale);
                sums[t] = _mm256_fnmadd_ps(factor, _mm256_cvtepi32_ps(met), sums[t]);
            }
        }
    }
    sums
}

/// The dot products of two blocks, decoded, with the tokens' activations, sub-scales applied, each
/// as the sum of four dwords of a half.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn pair_dots<F: Super, const N: usize>(
    blocks: [&[u8]; 2],
    sub_scales: &[__m256i; 8],
    order: [__m256i; 2],
    x: &[Place; N],
) -> [__m256i; N] {
    let is_wide = const { is_wide(&F::LAYOUT) };
    // Whether the products of a sub-block's registers add up in 16 bits: two meet in a word.
    let is_short = !is_wide && F::SUB_LEN / 16 * 2 * 127 * F::LAYOUT.max_code() as usize <= 32767;
    // SAFETY: the caller's promise.
    unsafe {
        let mut dots = [_mm256_setzero_si256(); N];
        if F::SUB_LEN == 16 {
            unroll!(SUB in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                let scale = sub_scale::<SUB>(sub_scales, order);
                let weights = unpack_super::<F, SUB>(blocks);
                for t in 0..N {
                    let products = pair_products(is_wide, weights, x[t].codes[SUB]);
                    dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(products, scale));
                }
            });
        } else {
            unroll!(SUB in [0 1 2 3 4 5 6 7] {
                let scale = sub_scale::<SUB>(sub_scales, order);
                let first = unpack_super::<F, { 2 * SUB }>(blocks);
                let second = unpack_super::<F, { 2 * SUB + 1 }>(blocks);
                for t in 0..N {
                    let first = pair_products(is_wide, first, x[t].codes[2 * SUB]);
                    let second = pair_products(is_wide, second, x[t].codes[2 * SUB + 1]);
                    if is_short {
                        let both = _mm256_add_epi16(first, second);
                        dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(both, scale));
                    } else {
                        dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(first, scale));
                        dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(second, scale));
                    }
                }
            });
        }
        dots
    }
}

/// The scale of a sub-block of both blocks of a pair, in every word of their halves.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sub_scale<const SUB: usize>(sub_scales: &[__m256i; 8], order: [__m256i; 2]) -> __m256i {
    _mm256_shuffle_epi8(sub_scales[SUB / 4 * 2 + SUB % 2], order[SUB / 2 % 2])
}

/// For each pair of blocks the orders of bytes that put words `2 * pair` and `2 * pair + 1` of each
/// half everywhere in it.
static ORDERS: [[[u16; 16]; 2]; 4] = {
    let mut orders = [[[0; 16]; 2]; 4];
    let mut i = 0;
    while i < 4 * 2 * 16 {
        let word = (i / 16) as u16;
        orders[i / 32][i / 16 % 2][i % 16] = ((2 * word + 1) << 8) | (2 * word);
        i += 1;
    }
    orders
};

/// The sums of products of the headers' pairs with a token's.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn meet<F: Super>(pairs: &[__m256i; 8], x_sums: &[i32; 8]) -> __m256i {
    let mut sum = _mm256_setzero_si256();
    for i in 0..SUPER_LEN / F::SUB_LEN / 2 {
        let products = _mm256_madd_epi16(pairs[i], _mm256_set1_epi32(x_sums[i]));
        sum = _mm256_add_epi32(sum, products);
    }
    sum
}

/// The sums of each half's dwords: in each half, dword `r` is that of register `r`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sum_dwords([a, b, c, d]: [__m256i; 4]) -> __m256i {
    let ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd))
}
