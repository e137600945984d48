//! Products with one token: four rows of weights at a time, each read once from where it lies.
//!
//! The lanes of a register are the four rows, so that their sums advance together, one fused
//! multiply-add per block. Memory sets the pace; the weights are prefetched in the order in which
//! they lie, since the hardware's prefetchers see four streams that soon end.

use super::unpack::{Sixteen, is_wide, max_code, unpack};
use crate::format::{FLAT_LEN, Flat, SUPER_LEN, Super, SuperScales};
use crate::registry::Product;
use std::arch::x86_64::*;

/// Rows computed together.
const N_ROWS: usize = 4;
/// How far ahead of use weights are prefetched.
const PREFETCH_BYTES: usize = 16 << 10;

/// The product with a single token of a flat format's matrix; see [`Flat`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply_flat<F: Flat>(product: Product<'_, F>) {
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let token = product.tokens[0];
    let x = FlatRow {
        codes: product.x.codes(token),
        scales: product.x.scales(token),
        sums: product.x.sums(token),
    };
    for (first_row, out) in (0..n_rows).step_by(N_ROWS).zip(product.out.chunks_mut(N_ROWS)) {
        let rows = Rows::<F::Block>::new(product.weights, first_row, n_rows, n_blocks);
        let mut sums = _mm_setzero_ps();
        for first_block in (0..n_blocks / 2 * 2).step_by(2) {
            rows.prefetch(first_block, 2);
            let addends = FlatAddends::new::<F>(&rows, &x, [first_block, first_block + 1]);
            sums = addends.add_first::<F>(sums);
            sums = addends.add_second::<F>(sums);
        }
        if n_blocks % 2 == 1 {
            let addends = FlatAddends::new::<F>(&rows, &x, [n_blocks - 1, n_blocks - 1]);
            sums = addends.add_first::<F>(sums);
        }
        store(sums, out);
    }
}

/// The product with a single token of a super-block format's matrix; see [`Super`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let token = product.tokens[0];
    let codes = product.x.codes(token).as_chunks::<SUPER_LEN>().0;
    let sums_of_16 = product.x.sums(token).as_chunks::<16>().0;
    let x_scales = product.x.scales(token);
    for (first_row, out) in (0..n_rows).step_by(N_ROWS).zip(product.out.chunks_mut(N_ROWS)) {
        let rows = Rows::<F::Block>::new(product.weights, first_row, n_rows, n_blocks);
        let mut sums = _mm_setzero_ps();
        for block_idx in 0..n_blocks {
            rows.prefetch(block_idx, 1);
            let blocks = rows.blocks(block_idx);
            let headers = blocks.map(F::scales);
            let x_sums = even_odd_words(&sums_of_16[block_idx]);
            let x_scale = _mm_set1_ps(x_scales[block_idx]);
            let dots: [__m256i; N_ROWS] = std::array::from_fn(|r| {
                super_dot::<F>(blocks[r], &headers[r], &codes[block_idx], x_sums)
            });
            let scale = headers.each_ref().map(|header| header.scale);
            let factor = _mm_mul_ps(load_four(scale), x_scale);
            sums = _mm_fmadd_ps(factor, _mm_cvtepi32_ps(sum_dwords(dots)), sums);
            if F::HAS_MINIMUM {
                let dots = headers.each_ref().map(|header| {
                    let minimums = _mm256_cvtepu8_epi16(even_odd_bytes(&header.sub_minimums));
                    _mm256_madd_epi16(minimums, x_sums)
                });
                let minimum = headers.each_ref().map(|header| header.minimum);
                let factor = _mm_mul_ps(load_four(minimum), x_scale);
                sums = _mm_fnmadd_ps(factor, _mm_cvtepi32_ps(sum_dwords(dots)), sums);
            }
        }
        store(sums, out);
    }
}

/// Four neighbouring rows of weights; at the matrix's end the last one repeats.
struct Rows<'a, B> {
    rows: [&'a [B]; N_ROWS],
}

impl<'a, B> Rows<'a, B> {
    fn new(weights: &'a [B], first_row: usize, n_rows: usize, n_blocks: usize) -> Self {
        let row = |r: usize| &weights[(first_row + r).min(n_rows - 1) * n_blocks..][..n_blocks];
        Rows { rows: std::array::from_fn(row) }
    }

    /// A block of each row.
    #[inline(always)]
    fn blocks(&self, block_idx: usize) -> [&'a B; N_ROWS] {
        self.rows.map(|row| &row[block_idx])
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
struct FlatRow<'a> {
    codes: &'a [i8],
    scales: &'a [f32],
    sums: &'a [i16],
}

/// What two blocks of each of four rows add to their sums: eight lanes, those of the first block
/// in the lower half.
struct FlatAddends {
    factors: __m256,
    dots: __m256,
    minimums: __m256,
    x_sums: __m256,
}

impl FlatAddends {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn new<F: Flat>(rows: &Rows<'_, F::Block>, x: &FlatRow<'_>, blocks: [usize; 2]) -> Self {
        let [firsts, seconds] = blocks.map(|block_idx| rows.blocks(block_idx));
        let codes =
            blocks.map(|block_idx| x.codes[block_idx * FLAT_LEN..][..FLAT_LEN].as_chunks::<16>().0);
        let x_low = load_halves(&codes[0][0], &codes[1][0]);
        let x_high = load_halves(&codes[0][1], &codes[1][1]);
        let dots: [__m256i; N_ROWS] =
            std::array::from_fn(|r| flat_dot::<F>(firsts[r], seconds[r], x_low, x_high));
        let mut dots = flat_sum::<F>(dots);
        let sums = blocks.map(|block_idx| i32::from(x.sums[block_idx]));
        if !is_wide(&F::LAYOUT) && F::LAYOUT.offset() != 0 {
            let [first, second] = sums.map(|sum| _mm_set1_epi32(sum * F::LAYOUT.offset()));
            dots = _mm256_sub_epi32(dots, _mm256_set_m128i(second, first));
        }
        let [first, second] = blocks.map(|block_idx| _mm_set1_ps(x.scales[block_idx]));
        let x_scales = _mm256_set_m128(second, first);
        let scales = gather_halves::<F>([firsts, seconds], 0);
        let (minimums, x_sums) = if F::HAS_MINIMUM {
            let [first, second] = sums.map(|sum| _mm_set1_ps(sum as f32));
            let x_sums = _mm256_mul_ps(x_scales, _mm256_set_m128(second, first));
            (gather_halves::<F>([firsts, seconds], 2), x_sums)
        } else {
            (_mm256_setzero_ps(), _mm256_setzero_ps())
        };
        FlatAddends {
            factors: _mm256_mul_ps(scales, x_scales),
            dots: _mm256_cvtepi32_ps(dots),
            minimums,
            x_sums,
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn add_first<F: Flat>(&self, sums: __m128) -> __m128 {
        let [factors, dots, minimums, x_sums] =
            [self.factors, self.dots, self.minimums, self.x_sums]
                .map(|lanes| _mm256_castps256_ps128(lanes));
        let sums = _mm_fmadd_ps(factors, dots, sums);
        if F::HAS_MINIMUM { _mm_fmadd_ps(minimums, x_sums, sums) } else { sums }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn add_second<F: Flat>(&self, sums: __m128) -> __m128 {
        let [factors, dots, minimums, x_sums] =
            [self.factors, self.dots, self.minimums, self.x_sums]
                .map(|lanes| _mm256_extractf128_ps::<1>(lanes));
        let sums = _mm_fmadd_ps(factors, dots, sums);
        if F::HAS_MINIMUM { _mm_fmadd_ps(minimums, x_sums, sums) } else { sums }
    }
}

/// Products of two blocks with activations, four sums of words in pairs per block; for wide
/// layouts four sums of dwords.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn flat_dot<F: Flat>(first: &F::Block, second: &F::Block, low: __m256i, high: __m256i) -> __m256i {
    let blocks = [first, second].map(|block| std::ptr::from_ref(block).cast());
    let [low_codes, high_codes] = [0, 16].map(|first| {
        // SAFETY: the references are to blocks of the layout's format.
        unsafe { unpack(&F::LAYOUT, blocks.map(|block| Sixteen { block, first })) }
    });
    if is_wide(&F::LAYOUT) {
        let ones = _mm256_set1_epi16(1);
        let low = _mm256_madd_epi16(pair_products(true, low_codes, low), ones);
        let high = _mm256_madd_epi16(pair_products(true, high_codes, high), ones);
        return _mm256_add_epi32(low, high);
    }
    const { assert!(is_wide(&F::LAYOUT) || 8 * 127 * max_code(&F::LAYOUT) <= i16::MAX as usize) }
    let low = pair_products(false, low_codes, low);
    _mm256_add_epi16(low, pair_products(false, high_codes, high))
}

/// Adds up four rows' [`flat_dot`]s: in each half, dword `r` is the sum of row `r`.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn flat_sum<F: Flat>(dots: [__m256i; N_ROWS]) -> __m256i {
    let pairs = [[dots[0], dots[1]], [dots[2], dots[3]]].map(|[a, b]| {
        let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
        if is_wide(&F::LAYOUT) {
            _mm256_add_epi32(low, high)
        } else {
            // Eight products a word: exact, see the assertion in `flat_dot`.
            _mm256_madd_epi16(_mm256_add_epi16(low, high), _mm256_set1_epi16(1))
        }
    });
    let low = _mm256_unpacklo_epi64(pairs[0], pairs[1]);
    _mm256_add_epi32(low, _mm256_unpackhi_epi64(pairs[0], pairs[1]))
}

/// The dot product of a block with activations, sub-scales and offset applied, as the sum of eight
/// dwords. `x_sums` come from [`even_odd_words`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn super_dot<F: Super>(
    block: &F::Block,
    header: &SuperScales,
    codes: &[i8; SUPER_LEN],
    x_sums: __m256i,
) -> __m256i {
    let block: *const u8 = std::ptr::from_ref(block).cast();
    let sub_scales = even_odd_bytes(bytemuck::cast_ref(&header.sub_scales));
    let sub_scales = _mm256_cvtepi8_epi16(sub_scales);
    let mut dot = _mm256_setzero_si256();
    if !is_wide(&F::LAYOUT) && F::LAYOUT.offset() != 0 {
        let offset = _mm256_set1_epi16(-F::LAYOUT.offset() as i16);
        dot = _mm256_madd_epi16(_mm256_mullo_epi16(sub_scales, offset), x_sums);
    }
    for (chunk_idx, codes) in codes.as_chunks::<32>().0.iter().enumerate() {
        let first = chunk_idx * 32;
        let halves = [Sixteen { block, first }, Sixteen { block, first: first + 16 }];
        // SAFETY: the pointer comes from a reference to a block of the layout's format.
        let weights = unsafe { unpack(&F::LAYOUT, halves) };
        let products = pair_products(is_wide(&F::LAYOUT), weights, load(codes));
        // Words `chunk_idx` of the halves are the scales of the chunk's sixteens.
        let word = _mm256_set1_epi16((2 * chunk_idx + 1 << 8 | 2 * chunk_idx) as i16);
        let scales = _mm256_shuffle_epi8(sub_scales, word);
        dot = _mm256_add_epi32(dot, _mm256_madd_epi16(products, scales));
    }
    dot
}

/// Sums of two neighbouring products in each word. Wide weights are signed: their magnitudes, at
/// most 128, are unsigned bytes, and the activations take their signs.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn pair_products(is_wide: bool, weights: __m256i, activations: __m256i) -> __m256i {
    if is_wide {
        let activations = _mm256_sign_epi8(activations, weights);
        _mm256_maddubs_epi16(_mm256_abs_epi8(weights), activations)
    } else {
        _mm256_maddubs_epi16(weights, activations)
    }
}

/// The sums of each register's dwords.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn sum_dwords(dots: [__m256i; N_ROWS]) -> __m128i {
    let pairs = [[dots[0], dots[1]], [dots[2], dots[3]]]
        .map(|[a, b]| _mm256_add_epi32(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b)));
    let low = _mm256_unpacklo_epi64(pairs[0], pairs[1]);
    let sums = _mm256_add_epi32(low, _mm256_unpackhi_epi64(pairs[0], pairs[1]));
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

/// The f16 at byte `at` of two blocks of each of four rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn gather_halves<F: Flat>(blocks: [[&F::Block; N_ROWS]; 2], at: usize) -> __m256 {
    let [[a, b, c, d], [e, f, g, h]] = blocks.map(|blocks| {
        blocks.map(|block| {
            let block = bytemuck::bytes_of(block);
            i16::from_le_bytes([block[at], block[at + 1]])
        })
    });
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

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_four(values: [f32; N_ROWS]) -> __m128 {
    // SAFETY: the array is sixteen bytes.
    unsafe { _mm_loadu_ps(values.as_ptr()) }
}

/// Writes the sums of as many rows as there are.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn store(sums: __m128, out: &mut [f32]) {
    let mut values = [0.0; N_ROWS];
    // SAFETY: the array is sixteen bytes.
    unsafe { _mm_storeu_ps(values.as_mut_ptr(), sums) };
    out.copy_from_slice(&values[..out.len()]);
}
