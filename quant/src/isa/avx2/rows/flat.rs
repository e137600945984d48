//! GEMV with legacy formats, blocks of 32.

use super::*;
use crate::format::{FLAT_LEN, Flat};
use crate::isa::avx2::unpack::{Sixteen, is_wide, unpack};
use crate::isa::stamp::each;
use crate::product::Product;

/// GEMV of a legacy format's matrix with `N` tokens; see [`Flat`] for the sum.
#[target_feature(enable = "avx2,fma,f16c")]
pub fn multiply<F: Flat, const N: usize>(product: Product<'_, F>) {
    let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
    let x = product.x.groups().next().expect("some tokens");
    let codes = x.codes().as_chunks::<FLAT_LEN>().0;
    let (codes, last_codes) = codes.as_chunks::<N>().0.as_chunks::<2>();
    let (scales, last_scales) = x.scales().as_chunks::<N>().0.as_chunks::<2>();
    let (sums, last_sums) = x.sums().as_chunks::<N>().0.as_chunks::<2>();
    for rows in Rows::all(product.weights, n_rows, n_blocks) {
        let [(a, last_a), (b, last_b), (c, last_c), (d, last_d)] =
            each!(r in [0 1 2 3] => rows.rows[r].as_chunks::<2>());
        let mut totals = [_mm_setzero_ps(); N];
        let x = codes.iter().zip(scales).zip(sums);
        for ((((a, b), c), d), ((codes, scales), sums)) in a.iter().zip(b).zip(c).zip(d).zip(x) {
            let weights = PairWeights::new::<F>([a, b, c, d]);
            for t in 0..N {
                let [first, second] = weights.multiply::<F>(PairActivations {
                    codes: [&codes[0][t], &codes[1][t]],
                    scales: [scales[0][t], scales[1][t]],
                    sums: [sums[0][t], sums[1][t]],
                });
                totals[t] = second.add_to::<F>(first.add_to::<F>(totals[t]));
            }
            prefetch([a, b, c, d]);
        }
        if let ([a], [b], [c], [d]) = (last_a, last_b, last_c, last_d) {
            let pairs = [&[*a; 2], &[*b; 2], &[*c; 2], &[*d; 2]];
            let weights = PairWeights::new::<F>(pairs);
            for t in 0..N {
                let [first, _] = weights.multiply::<F>(PairActivations {
                    codes: [&last_codes[0][t]; 2],
                    scales: [last_scales[0][t]; 2],
                    sums: [last_sums[0][t]; 2],
                });
                totals[t] = first.add_to::<F>(totals[t]);
            }
        }
        rows.store(totals, product.out);
    }
}

/// A token's activations for two blocks.
struct PairActivations<'a> {
    codes: [&'a [i8; FLAT_LEN]; 2],
    scales: [f32; 2],
    sums: [i16; 2],
}

/// What a block of each of four rows adds to their sums.
struct Addends {
    factors: __m128,
    dots: __m128,
    minimums: __m128,
    x_sums: __m128,
}

impl Addends {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn add_to<F: Flat>(&self, sums: __m128) -> __m128 {
        let sums = _mm_fmadd_ps(self.factors, self.dots, sums);
        if F::HAS_MINIMUM { _mm_fmadd_ps(self.minimums, self.x_sums, sums) } else { sums }
    }
}

/// Two blocks of each of four rows, the first block in the lower halves of the registers.
struct PairWeights {
    /// For each row the codes of weights 0..16 and of 16..32.
    codes: [[__m256i; 2]; N_ROWS],
    scales: __m256,
    minimums: __m256,
}

impl PairWeights {
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn new<F: Flat>(rows: [&[F::Block; 2]; N_ROWS]) -> Self {
        let codes = each!(r in [0 1 2 3] => {
            let blocks = each!(i in [0 1] => bytemuck::bytes_of(&rows[r][i]));
            each!(half in [0 1] => {
                let halves = each!(i in [0 1] => Sixteen { block: blocks[i], first: 16 * half });
                // SAFETY: this function has AVX2.
                unsafe { unpack(&F::LAYOUT, halves) }
            })
        });
        // The scale and the minimum, if there is one, are the first four bytes of a block.
        let [firsts, seconds] =
            each!(i in [0 1] => first_dwords::<F>(each!(r in [0 1 2 3] => &rows[r][i])));
        let low = _mm_set1_epi32(0xffff);
        let scales = _mm_packus_epi32(_mm_and_si128(firsts, low), _mm_and_si128(seconds, low));
        let minimums =
            _mm_packus_epi32(_mm_srli_epi32::<16>(firsts), _mm_srli_epi32::<16>(seconds));
        PairWeights { codes, scales: _mm256_cvtph_ps(scales), minimums: _mm256_cvtph_ps(minimums) }
    }

    /// What the two blocks add to a token's sums.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn multiply<F: Flat>(&self, x: PairActivations<'_>) -> [Addends; 2] {
        let codes = each!(i in [0 1] => x.codes[i].as_chunks::<16>().0);
        let codes = each!(half in [0 1] => load_halves(&codes[0][half], &codes[1][half]));
        let dots = each!(r in [0 1 2 3] => flat_dot::<F>(self.codes[r], codes));
        let mut dots = flat_sum::<F>(dots);
        let [low, high] = each!(i in [0 1] => _mm256_set1_epi32(i32::from(x.sums[i])));
        let x_sums = _mm256_blend_epi32::<0xf0>(low, high);
        if !is_wide(&F::LAYOUT) && F::LAYOUT.offset() != 0 {
            let offset = _mm256_set1_epi32(F::LAYOUT.offset());
            dots = _mm256_sub_epi32(dots, _mm256_mullo_epi32(x_sums, offset));
        }
        let dots = _mm256_cvtepi32_ps(dots);
        let [low, high] = each!(i in [0 1] => _mm256_set1_ps(x.scales[i]));
        let x_scales = _mm256_blend_ps::<0xf0>(low, high);
        let factors = _mm256_mul_ps(self.scales, x_scales);
        let x_sums = _mm256_mul_ps(x_scales, _mm256_cvtepi32_ps(x_sums));
        let first = Addends {
            factors: _mm256_castps256_ps128(factors),
            dots: _mm256_castps256_ps128(dots),
            minimums: _mm256_castps256_ps128(self.minimums),
            x_sums: _mm256_castps256_ps128(x_sums),
        };
        let second = Addends {
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
                let largest_word = 8 * 127 * F::LAYOUT.max_code();
                assert!(is_wide(&F::LAYOUT) || largest_word <= i16::MAX as i32);
            }
            _mm256_madd_epi16(_mm256_add_epi16(low, high), _mm256_set1_epi16(1))
        }
    });
    _mm256_add_epi32(_mm256_unpacklo_epi64(ab, cd), _mm256_unpackhi_epi64(ab, cd))
}

/// The first four bytes of a block of each of four rows.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn first_dwords<F: Flat>(blocks: [&F::Block; N_ROWS]) -> __m128i {
    let [a, b, c, d] = each!(r in [0 1 2 3] => {
        let block = bytemuck::bytes_of(blocks[r]);
        _mm_set1_epi32(i32::from_le_bytes([block[0], block[1], block[2], block[3]]))
    });
    _mm_blend_epi32::<0b1100>(_mm_blend_epi32::<0b0010>(a, b), _mm_blend_epi32::<0b1000>(c, d))
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_halves(low: &[i8; 16], high: &[i8; 16]) -> __m256i {
    // SAFETY: each reference is to sixteen bytes.
    unsafe { _mm256_loadu2_m128i(high.as_ptr().cast(), low.as_ptr().cast()) }
}
