//! Sixteen lanes as two registers of eight.

use crate::format::FloatKind;
use crate::isa::stamp::each;
use crate::vector::{Lanes, N_LANES};
use std::arch::x86_64::*;

/// Lanes 0..8 and 8..16.
///
/// Its methods are inlined into functions with the target features of the module; elsewhere they
/// must not run.
#[derive(Clone, Copy)]
pub struct Avx2Lanes(__m256, __m256);

/// A lane-wise method from an operation on registers of eight.
macro_rules! lane_wise {
    ($($name:ident($($register:ident),*) => $operation:expr;)*) => {
        $(
            #[inline(always)]
            fn $name(self, $($register: Self),*) -> Self {
                // SAFETY: only reached through the functions that `isa` stamps, on CPUs with AVX2
                // and FMA.
                unsafe {
                    Avx2Lanes(
                        $operation(self.0 $(, $register.0)*),
                        $operation(self.1 $(, $register.1)*),
                    )
                }
            }
        )*
    };
}

impl Lanes for Avx2Lanes {
    lane_wise! {
        add(other) => _mm256_add_ps;
        sub(other) => _mm256_sub_ps;
        mul(other) => _mm256_mul_ps;
        div(other) => _mm256_div_ps;
        mul_add(factor, addend) => _mm256_fmadd_ps;
        abs() => abs;
        max(other) => _mm256_max_ps;
        min(other) => _mm256_min_ps;
        round() => _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>;
        exp2_int() => exp2_int;
        if_less(other, less, otherwise) => if_less;
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: as in `lane_wise`.
        let lanes = unsafe { _mm256_set1_ps(value) };
        Avx2Lanes(lanes, lanes)
    }

    #[inline(always)]
    fn from_array(values: [f32; N_LANES]) -> Self {
        let low = values.as_ptr();
        // SAFETY: the array holds both groups of eight; as in `lane_wise`.
        unsafe { Avx2Lanes(_mm256_loadu_ps(low), _mm256_loadu_ps(low.add(8))) }
    }

    #[inline(always)]
    fn to_array(self) -> [f32; N_LANES] {
        let mut values = [0.0; N_LANES];
        let low = values.as_mut_ptr();
        // SAFETY: the array holds both groups of eight; as in `lane_wise`.
        unsafe {
            _mm256_storeu_ps(low, self.0);
            _mm256_storeu_ps(low.add(8), self.1);
        }
        values
    }

    #[inline(always)]
    fn load(kind: FloatKind, bytes: &[u8]) -> Self {
        let [low, high] = each!(group in [0 1] => match kind {
            FloatKind::F32 => {
                let values = bytes[32 * group..][..32].as_ptr();
                // SAFETY: the slice holds 32 bytes; as in `lane_wise`.
                unsafe { _mm256_loadu_ps(values.cast()) }
            }
            FloatKind::F16 | FloatKind::Bf16 => {
                let values = bytes[16 * group..][..16].as_ptr();
                // SAFETY: the slice holds 16 bytes; as in `lane_wise`, with F16C.
                unsafe {
                    let halves = _mm_loadu_si128(values.cast());
                    if kind == FloatKind::F16 {
                        _mm256_cvtph_ps(halves)
                    } else {
                        let upper = _mm256_slli_epi32::<16>(_mm256_cvtepu16_epi32(halves));
                        _mm256_castsi256_ps(upper)
                    }
                }
            }
        });
        Avx2Lanes(low, high)
    }

    #[inline(always)]
    fn store(self, kind: FloatKind, bytes: &mut [u8]) {
        assert_eq!(bytes.len(), N_LANES * kind.bytes());
        let at = bytes.as_mut_ptr();
        // SAFETY: the slice has room for sixteen values, as asserted; as in `lane_wise`, with F16C.
        unsafe {
            match kind {
                FloatKind::F32 => {
                    _mm256_storeu_ps(at.cast(), self.0);
                    _mm256_storeu_ps(at.cast::<f32>().add(8), self.1);
                }
                FloatKind::F16 => {
                    let [low, high] = each!(group in [0 1] => {
                        let values = if group == 0 { self.0 } else { self.1 };
                        _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)
                    });
                    _mm256_storeu_si256(at.cast(), _mm256_set_m128i(high, low));
                }
                FloatKind::Bf16 => {
                    let words = _mm256_packus_epi32(bf16_bits(self.0), bf16_bits(self.1));
                    let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
                    _mm256_storeu_si256(at.cast(), words);
                }
            }
        }
    }

    #[inline(always)]
    fn prefetch(byte: &u8) {
        // SAFETY: as in `lane_wise`; a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) }
    }

    #[inline(always)]
    fn transpose(rows: &mut [Self; N_LANES]) {
        let mut quarters = [[rows[0].0; 8]; 4];
        for i in 0..8 {
            quarters[0][i] = rows[i].0;
            quarters[1][i] = rows[i].1;
            quarters[2][i] = rows[i + 8].0;
            quarters[3][i] = rows[i + 8].1;
        }
        // SAFETY: as in `lane_wise`.
        let [a, b, c, d] = each!(i in [0 1 2 3] => unsafe { transposed(quarters[i]) });
        for i in 0..8 {
            rows[i] = Avx2Lanes(a[i], c[i]);
            rows[i + 8] = Avx2Lanes(b[i], d[i]);
        }
    }

    #[inline(always)]
    fn to_i8(self) -> [i8; N_LANES] {
        let mut codes = [0; N_LANES];
        // SAFETY: the array holds sixteen bytes; as in `lane_wise`.
        unsafe {
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(self.0), _mm256_cvtps_epi32(self.1));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let low = _mm256_castsi256_si128(words);
            let bytes = _mm_packs_epi16(low, _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(codes.as_mut_ptr().cast(), bytes);
        }
        codes
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: as in `lane_wise`.
        unsafe {
            let eight = _mm256_add_ps(self.0, self.1);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }
}

/// Without the bits of the signs.
#[target_feature(enable = "avx2")]
#[inline]
fn abs(value: __m256) -> __m256 {
    _mm256_andnot_ps(_mm256_set1_ps(-0.0), value)
}

/// 2 to the power of integers, by way of the bits of the exponent.
#[target_feature(enable = "avx2")]
#[inline]
fn exp2_int(power: __m256) -> __m256 {
    let biased = _mm256_add_epi32(_mm256_cvtps_epi32(power), _mm256_set1_epi32(127));
    _mm256_castsi256_ps(_mm256_slli_epi32::<23>(biased))
}

/// An ordered comparison: nothing is less than NaN.
#[target_feature(enable = "avx2")]
#[inline]
fn if_less(value: __m256, other: __m256, less: __m256, otherwise: __m256) -> __m256 {
    _mm256_blendv_ps(otherwise, less, _mm256_cmp_ps::<_CMP_LT_OQ>(value, other))
}

/// The upper halves, rounded to nearest, ties to even, in the low 16 bits of each lane.
#[target_feature(enable = "avx2")]
#[inline]
fn bf16_bits(value: __m256) -> __m256i {
    let bits = _mm256_castps_si256(value);
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
    let half = _mm256_add_epi32(_mm256_set1_epi32(0x7fff), odd);
    _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, half))
}

/// Lane `i` of row `j` of the result is lane `j` of row `i`.
#[target_feature(enable = "avx2")]
#[inline]
fn transposed(rows: [__m256; 8]) -> [__m256; 8] {
    // Pairs of rows, then fours, then all eight.
    let low = each!(i in [0 1 2 3] => _mm256_unpacklo_ps(rows[2 * i], rows[2 * i + 1]));
    let high = each!(i in [0 1 2 3] => _mm256_unpackhi_ps(rows[2 * i], rows[2 * i + 1]));
    let fours = each!(i in [0 1 2 3 4 5 6 7] => {
        let pairs = if i % 4 < 2 { low } else { high };
        let (a, b) = (pairs[i / 4 * 2], pairs[i / 4 * 2 + 1]);
        if i & 1 == 0 {
            _mm256_shuffle_ps::<0b01_00_01_00>(a, b)
        } else {
            _mm256_shuffle_ps::<0b11_10_11_10>(a, b)
        }
    });
    each!(i in [0 1 2 3 4 5 6 7] => {
        let (a, b) = (fours[i % 4], fours[i % 4 + 4]);
        if i < 4 {
            _mm256_permute2f128_ps::<0x20>(a, b)
        } else {
            _mm256_permute2f128_ps::<0x31>(a, b)
        }
    })
}
