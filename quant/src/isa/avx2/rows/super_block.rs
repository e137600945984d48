//! GEMV with K-quants, super-blocks of 256.

use super::*;
use crate::format::{SUPER_LEN, Super};
use crate::header::SuperScales;
use crate::isa::avx2::unpack::{Sixteen, is_wide, unpack};
use crate::isa::stamp::each;
use crate::product::Product;
use half::f16;

/// GEMV of a K-quant's matrix with `N` tokens; see [`Super`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply<F: Super, const N: usize>(product: Product<'_, F>) {
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let x = product.x.groups().next().expect("some tokens");
    let codes: &[[[i8; SUPER_LEN]; N]] = x.codes().as_chunks().0.as_chunks().0;
    let scales: &[[f32; N]] = x.scales().as_chunks().0;
    let x_sums: &[[[i16; 16]; N]] = x.sums().as_chunks().0.as_chunks().0;
    for rows in Rows::all(product.weights, n_rows, n_blocks) {
        let mut sums = [_mm_setzero_ps(); N];
        let [a, b, c, d] = rows.rows;
        let x = codes.iter().zip(scales).zip(x_sums);
        for ((((a, b), c), d), ((x_codes, x_scales), words)) in a.iter().zip(b).zip(c).zip(d).zip(x)
        {
            let blocks = [a, b, c, d];
            prefetch(blocks);
            let headers = each!(r in [0 1 2 3] => F::scales(blocks[r]));
            let mut x_sums = [_mm256_setzero_si256(); N];
            for t in 0..N {
                x_sums[t] = even_odd_words(&words[t]);
            }
            let dots = each!(r in [0 1 2 3] => {
                super_dots::<F, N>(blocks[r], &headers[r], x_codes, x_sums)
            });
            let scale = f16_to_f32(each!(r in [0 1 2 3] => headers[r].scale));
            let minimum = f16_to_f32(each!(r in [0 1 2 3] => headers[r].minimum));
            let minimums = each!(r in [0 1 2 3] => {
                _mm256_cvtepu8_epi16(even_odd_bytes(&headers[r].sub_minimums))
            });
            for t in 0..N {
                let x_scale = _mm_set1_ps(x_scales[t]);
                let dot = sum_dwords(each!(r in [0 1 2 3] => dots[r][t]));
                let factor = _mm_mul_ps(scale, x_scale);
                sums[t] = _mm_fmadd_ps(factor, _mm_cvtepi32_ps(dot), sums[t]);
                if F::HAS_MINIMUM {
                    let dots = each!(r in [0 1 2 3] => _mm256_madd_epi16(minimums[r], x_sums[t]));
                    let factor = _mm_mul_ps(minimum, x_scale);
                    sums[t] = _mm_fnmadd_ps(factor, _mm_cvtepi32_ps(sum_dwords(dots)), sums[t]);
                }
            }
        }
        rows.store(sums, product.out);
    }
}

/// The dot products of a block with the tokens' activations, sub-scales and offset applied, each as
/// the sum of eight dwords. `x_sums` come from [`even_odd_words`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn super_dots<F: Super, const N: usize>(
    block: &F::Block,
    header: &SuperScales,
    x_codes: &[[i8; SUPER_LEN]; N],
    x_sums: [__m256i; N],
) -> [__m256i; N] {
    let block = bytemuck::bytes_of(block);
    let sub_scales = even_odd_bytes(bytemuck::cast_ref(&header.sub_scales));
    let sub_scales = _mm256_cvtepi8_epi16(sub_scales);
    let mut dots = [_mm256_setzero_si256(); N];
    if !is_wide(&F::LAYOUT) && F::LAYOUT.offset() != 0 {
        let offset = _mm256_set1_epi16(-F::LAYOUT.offset() as i16);
        let offsets = _mm256_mullo_epi16(sub_scales, offset);
        for t in 0..N {
            dots[t] = _mm256_madd_epi16(offsets, x_sums[t]);
        }
    }
    each!(chunk_idx in [0 1 2 3 4 5 6 7] => {
        let first = chunk_idx * 32;
        let halves = [Sixteen { block, first }, Sixteen { block, first: first + 16 }];
        // SAFETY: this function has AVX2.
        let weights = unsafe { unpack(&F::LAYOUT, halves) };
        // Words `chunk_idx` of the two halves are the scales of the chunk's two sixteens.
        let word = _mm256_set1_epi16((((2 * chunk_idx + 1) << 8) | (2 * chunk_idx)) as i16);
        let scales = _mm256_shuffle_epi8(sub_scales, word);
        for t in 0..N {
            let x_codes = load(&x_codes[t].as_chunks().0[chunk_idx]);
            let products = pair_products(is_wide(&F::LAYOUT), weights, x_codes);
            dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(products, scales));
        }
    });
    dots
}

/// The sums of each register's dwords.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sum_dwords([a, b, c, d]: [__m256i; N_ROWS]) -> __m128i {
    let ab = _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let cd = _mm256_add_epi32(_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    let sums = _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd));
    _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums))
}

/// Sixteen words, those at even places in the lower half.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn even_odd_words(words: &[i16; 16]) -> __m256i {
    // SAFETY: the reference is to 32 bytes.
    let words = unsafe { _mm256_loadu_si256(words.as_ptr().cast()) };
    let order = _mm_set_epi8(15, 14, 11, 10, 7, 6, 3, 2, 13, 12, 9, 8, 5, 4, 1, 0);
    let sorted = _mm256_shuffle_epi8(words, _mm256_broadcastsi128_si256(order));
    _mm256_permute4x64_epi64::<0b11_01_10_00>(sorted)
}

/// Sixteen bytes, those at even places first.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn even_odd_bytes(bytes: &[u8; 16]) -> __m128i {
    // SAFETY: the reference is to sixteen bytes.
    let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    _mm_shuffle_epi8(bytes, _mm_set_epi8(15, 13, 11, 9, 7, 5, 3, 1, 14, 12, 10, 8, 6, 4, 2, 0))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn f16_to_f32(values: [f16; N_ROWS]) -> __m128 {
    let [a, b, c, d] = each!(r in [0 1 2 3] => values[r].to_bits() as i16);
    _mm_cvtph_ps(_mm_setr_epi16(a, b, c, d, 0, 0, 0, 0))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load(codes: &[i8; 32]) -> __m256i {
    // SAFETY: the reference is to 32 bytes.
    unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) }
}
