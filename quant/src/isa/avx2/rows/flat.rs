//! Rows of formats with blocks of 32.

use super::*;
use crate::activations::Tokens;
use crate::format::{FLAT_LEN, Flat};
use crate::isa::avx2::unpack::{Sixteen, is_wide, max_code, unpack};
use crate::registry::Product;

/// The product of a flat format's matrix with `N` tokens; see [`Flat`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply_flat<F: Flat, const N: usize>(product: Product<'_, F>) {
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let x = product.x.tokens::<N>(0);
    for first_row in (0..n_rows).step_by(N_ROWS) {
        let rows = FourRows::new(product.weights, first_row, n_rows, n_blocks);
        let mut sums = [_mm_setzero_ps(); N];
        for block_idx in (0..n_blocks).step_by(2) {
            rows.ahead(block_idx, 2).for_each(prefetch);
            let next_idx = (block_idx + 1).min(n_blocks - 1);
            let weights = FlatWeights::new::<F>(rows.blocks(block_idx), rows.blocks(next_idx));
            for t in 0..N {
                let x = FlatActivations::new(x, t, [block_idx, next_idx]);
                let [first, second] = weights.multiply::<F>(&x);
                sums[t] = first.add_to::<F>(sums[t]);
                if next_idx > block_idx {
                    sums[t] = second.add_to::<F>(sums[t]);
                }
            }
        }
        store(to_arrays(sums), product.out, first_row, n_rows);
    }
}

/// A token's activations for two blocks.
struct FlatActivations<'a> {
    codes: [&'a [[i8; 16]; 2]; 2],
    scales: [f32; 2],
    sums: [i32; 2],
}

impl<'a> FlatActivations<'a> {
    #[inline(always)]
    fn new<const N: usize>(x: Tokens<'a, N>, t: usize, blocks: [usize; 2]) -> Self {
        const { assert!(FLAT_LEN == 32) }
        FlatActivations {
            codes: blocks.map(|block| bytemuck::cast_ref(&x.codes::<32>(block)[t])),
            scales: blocks.map(|block| x.scales(block)[t]),
            sums: blocks.map(|block| i32::from(x.sums::<1>(block)[t][0])),
        }
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
    fn multiply<F: Flat>(&self, x: &FlatActivations<'_>) -> [FlatAddends; 2] {
        let x_codes = x.codes;
        let x_codes = each!(half in [0 1] => load_halves(&x_codes[0][half], &x_codes[1][half]));
        let dots = each!(r in [0 1 2 3] => flat_dot::<F>(self.codes[r], x_codes));
        let mut dots = flat_sum::<F>(dots);
        let sums = x.sums;
        if !is_wide(&F::LAYOUT) && F::LAYOUT.offset() != 0 {
            let [low, high] = each!(i in [0 1] => _mm_set1_epi32(sums[i] * F::LAYOUT.offset()));
            dots = _mm256_sub_epi32(dots, _mm256_set_m128i(high, low));
        }
        let dots = _mm256_cvtepi32_ps(dots);
        let [low, high] = each!(i in [0 1] => _mm_set1_ps(x.scales[i]));
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
                // Eight products meet in a word.
                let largest_word = 8 * 127 * max_code(&F::LAYOUT);
                assert!(is_wide(&F::LAYOUT) || largest_word <= i16::MAX as usize);
            }
            _mm256_madd_epi16(_mm256_add_epi16(low, high), _mm256_set1_epi16(1))
        }
    });
    _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd))
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
fn load_halves(low: &[i8; 16], high: &[i8; 16]) -> __m256i {
    // SAFETY: each reference is to sixteen bytes.
    unsafe { _mm256_loadu2_m128i(high.as_ptr().cast(), low.as_ptr().cast()) }
}
