//! Products with up to four tokens: four rows of weights at a time, each read once from where it
//! lies.
//!
//! The lanes of a token's accumulator are the four rows, so that their sums advance together, one
//! fused multiply-add per block. Memory sets the pace; the weights are prefetched in the order in
//! which they lie, since the hardware's prefetchers see four streams that soon end.

use super::unpack::{Sixteen, is_wide, max_code, unpack};
use crate::activations::Activations;
use crate::format::{FLAT_LEN, Flat, SUPER_LEN, Super, SuperScales};
use crate::registry::Product;
use half::f16;
use std::arch::x86_64::*;

/// Rows computed together.
const N_ROWS: usize = 4;
/// How far ahead of use weights are prefetched.
const PREFETCH_BYTES: usize = 16 << 10;

/// The product of a flat format's matrix with `tokens`; see [`Flat`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply_flat<F: Flat, const N: usize>(product: Product<'_, F>, tokens: [u32; N]) {
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let x = FlatActivations::of_tokens(product.x, tokens);
    for first_row in (0..n_rows).step_by(N_ROWS) {
        let rows = Rows::<F::Block>::new(product.weights, first_row, n_rows, n_blocks);
        let mut sums = [_mm_setzero_ps(); N];
        for block_idx in (0..n_blocks).step_by(2) {
            rows.prefetch(block_idx, 2);
            let next_idx = (block_idx + 1).min(n_blocks - 1);
            let weights = FlatWeights::new::<F>(rows.blocks(block_idx), rows.blocks(next_idx));
            for t in 0..N {
                let [first, second] = weights.multiply::<F>(&x[t], [block_idx, next_idx]);
                sums[t] = first.add_to::<F>(sums[t]);
                if next_idx > block_idx {
                    sums[t] = second.add_to::<F>(sums[t]);
                }
            }
        }
        store(sums, product.out, first_row, n_rows);
    }
}

/// The product of a super-block format's matrix with `tokens`; see [`Super`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply_super<F: Super, const N: usize>(product: Product<'_, F>, tokens: [u32; N]) {
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let x = SuperActivations::of_tokens(product.x, tokens);
    for first_row in (0..n_rows).step_by(N_ROWS) {
        let rows = Rows::<F::Block>::new(product.weights, first_row, n_rows, n_blocks);
        let mut sums = [_mm_setzero_ps(); N];
        for block_idx in 0..n_blocks {
            rows.prefetch(block_idx, 1);
            let blocks = rows.blocks(block_idx);
            let headers = each!(r in [0 1 2 3] => F::scales(blocks[r]));
            let mut x_sums = [_mm256_setzero_si256(); N];
            for t in 0..N {
                x_sums[t] = even_odd_words(&x[t].sums[block_idx]);
            }
            let dots = each!(r in [0 1 2 3] => {
                super_dots::<F, N>(blocks[r], &headers[r], &x, block_idx, x_sums)
            });
            let scale = widen(each!(r in [0 1 2 3] => headers[r].scale));
            let minimum = widen(each!(r in [0 1 2 3] => headers[r].minimum));
            let minimums = each!(r in [0 1 2 3] => {
                _mm256_cvtepu8_epi16(even_odd_bytes(&headers[r].sub_minimums))
            });
            for t in 0..N {
                let x_scale = _mm_set1_ps(x[t].scales[block_idx]);
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
        store(sums, product.out, first_row, n_rows);
    }
}

/// Four neighbouring rows of weights; at the matrix's end the last one repeats.
struct Rows<'a, B> {
    rows: [&'a [B]; N_ROWS],
}

impl<'a, B> Rows<'a, B> {
    #[inline(always)]
    fn new(weights: &'a [B], first_row: usize, n_rows: usize, n_blocks: usize) -> Self {
        let row = |r: usize| &weights[(first_row + r).min(n_rows - 1) * n_blocks..][..n_blocks];
        Rows { rows: std::array::from_fn(row) }
    }

    /// A block of each row.
    #[inline(always)]
    fn blocks(&self, block_idx: usize) -> [&'a B; N_ROWS] {
        each!(r in [0 1 2 3] => &self.rows[r][block_idx])
    }

    /// Fetches as many bytes as `n_blocks` blocks of each row have. All four rows together count
    /// as one stream.
    #[inline(always)]
    fn prefetch(&self, first_block: usize, n_blocks: usize) {
        let at = first_block * N_ROWS * size_of::<B>() + PREFETCH_BYTES;
        let start = self.rows[0].as_ptr().cast::<i8>().wrapping_add(at);
        for line in 0..(n_blocks * N_ROWS * size_of::<B>()).div_ceil(64) {
            // SAFETY: a prefetch may name any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(64 * line)) };
        }
    }
}

/// A token's activations for flat formats.
struct FlatActivations<'a> {
    codes: &'a [[[i8; 16]; 2]],
    scales: &'a [f32],
    sums: &'a [i16],
}

impl<'a> FlatActivations<'a> {
    #[inline(always)]
    fn of_tokens<const N: usize>(x: &'a Activations, tokens: [u32; N]) -> [Self; N] {
        const { assert!(FLAT_LEN == 32) }
        let n_blocks = x.cols() / FLAT_LEN;
        tokens.map(|token| FlatActivations {
            codes: &x.codes(token).as_chunks().0.as_chunks().0[..n_blocks],
            scales: &x.scales(token)[..n_blocks],
            sums: &x.sums(token)[..n_blocks],
        })
    }
}

/// A token's activations for super-block formats.
struct SuperActivations<'a> {
    codes: &'a [[[i8; 32]; 8]],
    scales: &'a [f32],
    sums: &'a [[i16; 16]],
}

impl<'a> SuperActivations<'a> {
    #[inline(always)]
    fn of_tokens<const N: usize>(x: &'a Activations, tokens: [u32; N]) -> [Self; N] {
        const { assert!(SUPER_LEN == 8 * 32) }
        let n_blocks = x.cols() / SUPER_LEN;
        tokens.map(|token| SuperActivations {
            codes: &x.codes(token).as_chunks().0.as_chunks().0[..n_blocks],
            scales: &x.scales(token)[..n_blocks],
            sums: &x.sums(token).as_chunks().0[..n_blocks],
        })
    }
}

/// What a block of each of four rows adds to their sums.
struct FlatAddends {
    factors: __m128,
    dots: __m128,
    minimums: __m128,
    x_sums: __m128,
}

impl FlatAddends {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn add_to<F: Flat>(&self, sums: __m128) -> __m128 {
        let sums = _mm_fmadd_ps(self.factors, self.dots, sums);
        if F::HAS_MINIMUM { _mm_fmadd_ps(self.minimums, self.x_sums, sums) } else { sums }
    }
}

/// Two blocks of each of four rows, the first block in the lower halves of the registers.
struct FlatWeights {
    /// For each row the codes of weights 0..16 and of 16..32.
    codes: [[__m256i; 2]; N_ROWS],
    scales: __m256,
    minimums: __m256,
}

impl FlatWeights {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn new<F: Flat>(firsts: [&F::Block; N_ROWS], seconds: [&F::Block; N_ROWS]) -> Self {
        let codes = each!(r in [0 1 2 3] => {
            let blocks = [bytemuck::bytes_of(firsts[r]), bytemuck::bytes_of(seconds[r])];
            each!(half in [0 1] => {
                let halves = each!(i in [0 1] => Sixteen { block: blocks[i], first: 16 * half });
                // SAFETY: this function has AVX2.
                unsafe { unpack(&F::LAYOUT, halves) }
            })
        });
        let scales = gather_halves::<F>(firsts, seconds, 0);
        let minimums = if F::HAS_MINIMUM { gather_halves::<F>(firsts, seconds, 2) } else { scales };
        FlatWeights { codes, scales, minimums }
    }

    /// What the two blocks add to a token's sums.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn multiply<F: Flat>(&self, x: &FlatActivations<'_>, blocks: [usize; 2]) -> [FlatAddends; 2] {
        let x_codes = each!(i in [0 1] => &x.codes[blocks[i]]);
        let x_codes = each!(half in [0 1] => load_halves(&x_codes[0][half], &x_codes[1][half]));
        let dots = each!(r in [0 1 2 3] => flat_dot::<F>(self.codes[r], x_codes));
        let mut dots = flat_sum::<F>(dots);
        let sums = each!(i in [0 1] => i32::from(x.sums[blocks[i]]));
        if !is_wide(&F::LAYOUT) && F::LAYOUT.offset() != 0 {
            let [low, high] = each!(i in [0 1] => _mm_set1_epi32(sums[i] * F::LAYOUT.offset()));
            dots = _mm256_sub_epi32(dots, _mm256_set_m128i(high, low));
        }
        let dots = _mm256_cvtepi32_ps(dots);
        let [low, high] = each!(i in [0 1] => _mm_set1_ps(x.scales[blocks[i]]));
        let x_scales = _mm256_set_m128(high, low);
        let factors = _mm256_mul_ps(self.scales, x_scales);
        let [low, high] = each!(i in [0 1] => _mm_set1_ps(sums[i] as f32));
        let x_sums = _mm256_mul_ps(x_scales, _mm256_set_m128(high, low));
        let first = FlatAddends {
            factors: _mm256_castps256_ps128(factors),
            dots: _mm256_castps256_ps128(dots),
            minimums: _mm256_castps256_ps128(self.minimums),
            x_sums: _mm256_castps256_ps128(x_sums),
        };
        let second = FlatAddends {
            factors: _mm256_extractf128_ps::<1>(factors),
            dots: _mm256_extractf128_ps::<1>(dots),
            minimums: _mm256_extractf128_ps::<1>(self.minimums),
            x_sums: _mm256_extractf128_ps::<1>(x_sums),
        };
        [first, second]
    }
}

/// Products of a row's two blocks with activations, four sums of words in pairs per block; for
/// wide layouts four sums of dwords.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn flat_dot<F: Flat>(codes: [__m256i; 2], x_codes: [__m256i; 2]) -> __m256i {
    let [low, high] =
        each!(half in [0 1] => pair_products(is_wide(&F::LAYOUT), codes[half], x_codes[half]));
    if is_wide(&F::LAYOUT) {
        let ones = _mm256_set1_epi16(1);
        _mm256_add_epi32(_mm256_madd_epi16(low, ones), _mm256_madd_epi16(high, ones))
    } else {
        _mm256_add_epi16(low, high)
    }
}

/// Adds up four rows' [`flat_dot`]s: in each half, dword `r` is the sum of row `r`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn flat_sum<F: Flat>(dots: [__m256i; N_ROWS]) -> __m256i {
    let [ab, cd] = each!(i in [0 1] => {
        let (low, high) = (
            _mm256_unpacklo_epi32(dots[2 * i], dots[2 * i + 1]),
            _mm256_unpackhi_epi32(dots[2 * i], dots[2 * i + 1]),
        );
        if is_wide(&F::LAYOUT) {
            _mm256_add_epi32(low, high)
        } else {
            const {
                let largest_word = 8 * 127 * max_code(&F::LAYOUT);
                assert!(is_wide(&F::LAYOUT) || largest_word <= i16::MAX as usize);
            }
            _mm256_madd_epi16(_mm256_add_epi16(low, high), _mm256_set1_epi16(1))
        }
    });
    _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd))
}

/// The dot products of a block with the tokens' activations, sub-scales and offset applied, each as
/// the sum of eight dwords. `x_sums` come from [`even_odd_words`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn super_dots<F: Super, const N: usize>(
    block: &F::Block,
    header: &SuperScales,
    x: &[SuperActivations<'_>; N],
    block_idx: usize,
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
        let word = _mm256_set1_epi16(((2 * chunk_idx + 1) << 8 | 2 * chunk_idx) as i16);
        let scales = _mm256_shuffle_epi8(sub_scales, word);
        for t in 0..N {
            let x_codes = load(&x[t].codes[block_idx][chunk_idx]);
            let products = pair_products(is_wide(&F::LAYOUT), weights, x_codes);
            dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(products, scales));
        }
    });
    dots
}

/// Sums of two neighbouring products in each word. Wide weights are signed: their magnitudes, at
/// most 128, are unsigned bytes, and the activations take their signs.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn pair_products(is_wide: bool, weights: __m256i, x_codes: __m256i) -> __m256i {
    if is_wide {
        _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x_codes, weights))
    } else {
        _mm256_maddubs_epi16(weights, x_codes)
    }
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
fn widen(values: [f16; N_ROWS]) -> __m128 {
    let [a, b, c, d] = each!(r in [0 1 2 3] => values[r].to_bits() as i16);
    _mm_cvtph_ps(_mm_setr_epi16(a, b, c, d, 0, 0, 0, 0))
}

/// The f16 at byte `at` of two blocks of each of four rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn gather_halves<F: Flat>(
    firsts: [&F::Block; N_ROWS],
    seconds: [&F::Block; N_ROWS],
    at: usize,
) -> __m256 {
    let [[a, b, c, d], [e, f, g, h]] = each!(i in [0 1] => each!(r in [0 1 2 3] => {
        let block = bytemuck::bytes_of([firsts, seconds][i][r]);
        i16::from_le_bytes([block[at], block[at + 1]])
    }));
    _mm256_cvtph_ps(_mm_set_epi16(h, g, f, e, d, c, b, a))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load(codes: &[i8; 32]) -> __m256i {
    // SAFETY: the reference is to 32 bytes.
    unsafe { _mm256_loadu_si256(codes.as_ptr().cast()) }
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_halves(low: &[i8; 16], high: &[i8; 16]) -> __m256i {
    // SAFETY: each reference is to sixteen bytes.
    unsafe { _mm256_loadu2_m128i(high.as_ptr().cast(), low.as_ptr().cast()) }
}

/// Writes the tokens' sums of as many rows as there are.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn store<const N: usize>(sums: [__m128; N], out: &mut [f32], first_row: usize, n_rows: usize) {
    for (out, sums) in out.chunks_exact_mut(n_rows).zip(sums) {
        let mut values = [0.0; N_ROWS];
        // SAFETY: the array is sixteen bytes.
        unsafe { _mm_storeu_ps(values.as_mut_ptr(), sums) };
        let out = &mut out[first_row..n_rows.min(first_row + N_ROWS)];
        out.copy_from_slice(&values[..out.len()]);
    }
}
