//! Sixteen lanes in one register.

use crate::format::FloatKind;
use crate::vector::{Lanes, N_LANES};
use std::arch::x86_64::*;

#[derive(Clone, Copy)]
pub struct Avx512Lanes(__m512);

/// Writes a method's body as one unsafe block: intrinsics without memory operands, for which the
/// CPU's features are all that is to be known.
macro_rules! lanes {
    ($value:expr) => {
        // SAFETY: `Lanes` are used only where the instruction set is known to exist.
        Avx512Lanes(unsafe { $value })
    };
}

impl Lanes for Avx512Lanes {
    const IS_ROOMY: bool = true;

    #[inline(always)]
    fn splat(value: f32) -> Self {
        lanes!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn from_array(values: [f32; N_LANES]) -> Self {
        lanes!(_mm512_loadu_ps(values.as_ptr()))
    }

    #[inline(always)]
    fn to_array(self) -> [f32; N_LANES] {
        let mut values = [0.0; N_LANES];
        // SAFETY: as above, and the array has room for the register.
        unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) };
        values
    }

    #[inline(always)]
    fn load(kind: FloatKind, bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), if kind == FloatKind::F32 { 64 } else { 32 });
        let at = bytes.as_ptr();
        // The assertion makes the loads stay inside of `bytes`.
        lanes!(match kind {
            FloatKind::F32 => _mm512_loadu_ps(at.cast()),
            FloatKind::F16 => _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())),
            FloatKind::Bf16 => {
                let upper_halves = _mm512_cvtepu16_epi32(_mm256_loadu_si256(at.cast()));
                _mm512_castsi512_ps(_mm512_slli_epi32::<16>(upper_halves))
            }
        })
    }

    #[inline(always)]
    fn store(self, kind: FloatKind, bytes: &mut [u8]) {
        assert_eq!(bytes.len(), N_LANES * kind.bytes());
        let at = bytes.as_mut_ptr();
        // SAFETY: the assertion makes the stores stay inside of `bytes`; as in `lanes!`.
        unsafe {
            match kind {
                FloatKind::F32 => _mm512_storeu_ps(at.cast(), self.0),
                FloatKind::F16 => {
                    let halves = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(self.0);
                    _mm256_storeu_si256(at.cast(), halves);
                }
                FloatKind::Bf16 => {
                    let bits = _mm512_castps_si512(self.0);
                    // Half a unit, less one where the result would else be odd.
                    let odd = _mm512_srli_epi32::<16>(bits);
                    let odd = _mm512_and_si512(odd, _mm512_set1_epi32(1));
                    let half = _mm512_add_epi32(_mm512_set1_epi32(0x7fff), odd);
                    let upper = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, half));
                    _mm256_storeu_si256(at.cast(), _mm512_cvtepi32_epi16(upper));
                }
            }
        }
    }

    #[inline(always)]
    fn prefetch(byte: &u8) {
        // SAFETY: as above; a prefetch reads nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) }
    }

    #[inline(always)]
    fn transpose(rows: &mut [Self; N_LANES]) {
        // Within groups of four rows, the 4x4 squares in the registers' quarters.
        for first in [0, 4, 8, 12] {
            let squares = [rows[first].0, rows[first + 1].0, rows[first + 2].0, rows[first + 3].0];
            // SAFETY: as in `lanes!`.
            let squares = unsafe { transposed_squares(squares) };
            for i in 0..4 {
                rows[first + i] = Avx512Lanes(squares[i]);
            }
        }
        // Then the quarters: row `4 * quarter + i` is in those quarters of rows `i`, `i + 4`, ...
        for i in 0..4 {
            let quarters = [rows[i].0, rows[i + 4].0, rows[i + 8].0, rows[i + 12].0];
            // SAFETY: as in `lanes!`.
            let quarters = unsafe { transposed_quarters(quarters) };
            for quarter in 0..4 {
                rows[4 * quarter + i] = Avx512Lanes(quarters[quarter]);
            }
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        lanes!(_mm512_add_ps(self.0, other.0))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        lanes!(_mm512_sub_ps(self.0, other.0))
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        lanes!(_mm512_mul_ps(self.0, other.0))
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        lanes!(_mm512_div_ps(self.0, other.0))
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, addend: Self) -> Self {
        lanes!(_mm512_fmadd_ps(self.0, factor.0, addend.0))
    }

    #[inline(always)]
    fn abs(self) -> Self {
        lanes!(_mm512_abs_ps(self.0))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        lanes!(_mm512_max_ps(self.0, other.0))
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        lanes!(_mm512_min_ps(self.0, other.0))
    }

    #[inline(always)]
    fn round(self) -> Self {
        lanes!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0))
    }

    #[inline(always)]
    fn exp2_int(self) -> Self {
        lanes!({
            let biased = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(biased))
        })
    }

    #[inline(always)]
    fn if_less(self, other: Self, less: Self, otherwise: Self) -> Self {
        lanes!({
            let is_less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0);
            _mm512_mask_blend_ps(is_less, otherwise.0, less.0)
        })
    }

    #[inline(always)]
    fn to_i8(self) -> [i8; N_LANES] {
        let mut bytes = [0i8; N_LANES];
        // SAFETY: as above, and the array has room for the sixteen bytes.
        unsafe {
            let narrow = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(self.0));
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), narrow);
        }
        bytes
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        // SAFETY: as above.
        unsafe {
            let halves = _mm512_extractf32x8_ps::<1>(self.0);
            let eight = _mm256_add_ps(_mm512_castps512_ps256(self.0), halves);
            let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
        }
    }

    #[inline(always)]
    fn sums(mut all: [Self; N_LANES]) -> Self {
        for i in 0..8 {
            all[i] = lanes!(sums_8_apart(all[i].0, all[i + 8].0));
        }
        for i in 0..4 {
            all[i] = lanes!(sums_4_apart(all[i].0, all[i + 4].0));
        }
        for i in 0..2 {
            all[i] = lanes!(sums_2_apart(all[i].0, all[i + 2].0));
        }
        lanes!(sums_1_apart(all[0].0, all[1].0))
    }
}

/// In each quarter of the registers, lane `i` of row `j` becomes lane `j` of row `i`.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed_squares([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    let (ab_low, cd_low) = (_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d));
    let (ab_high, cd_high) = (_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d));
    [
        _mm512_shuffle_ps::<0b01_00_01_00>(ab_low, cd_low),
        _mm512_shuffle_ps::<0b11_10_11_10>(ab_low, cd_low),
        _mm512_shuffle_ps::<0b01_00_01_00>(ab_high, cd_high),
        _mm512_shuffle_ps::<0b11_10_11_10>(ab_high, cd_high),
    ]
}

/// Quarter `i` of row `j` becomes quarter `j` of row `i`.
#[target_feature(enable = "avx512f")]
#[inline]
fn transposed_quarters([a, b, c, d]: [__m512; 4]) -> [__m512; 4] {
    const EVEN: i32 = 0b10_00_10_00;
    const ODD: i32 = 0b11_01_11_01;
    let (ab_even, cd_even) =
        (_mm512_shuffle_f32x4::<EVEN>(a, b), _mm512_shuffle_f32x4::<EVEN>(c, d));
    let (ab_odd, cd_odd) = (_mm512_shuffle_f32x4::<ODD>(a, b), _mm512_shuffle_f32x4::<ODD>(c, d));
    [
        _mm512_shuffle_f32x4::<EVEN>(ab_even, cd_even),
        _mm512_shuffle_f32x4::<EVEN>(ab_odd, cd_odd),
        _mm512_shuffle_f32x4::<ODD>(ab_even, cd_even),
        _mm512_shuffle_f32x4::<ODD>(ab_odd, cd_odd),
    ]
}

/// The lower half is `a`'s lanes 8 apart, added; the upper half `b`'s.
#[target_feature(enable = "avx512f")]
#[inline]
fn sums_8_apart(a: __m512, b: __m512) -> __m512 {
    let others = _mm512_shuffle_f32x4::<0b01_00_11_10>(a, b);
    _mm512_add_ps(_mm512_mask_blend_ps(0xff00, a, b), others)
}

/// Of each half, the lower quarter is `a`'s lanes 4 apart in that half, added; the upper one `b`'s.
#[target_feature(enable = "avx512f")]
#[inline]
fn sums_4_apart(a: __m512, b: __m512) -> __m512 {
    let others = _mm512_setr_epi32(4, 5, 6, 7, 16, 17, 18, 19, 12, 13, 14, 15, 24, 25, 26, 27);
    let others = _mm512_permutex2var_ps(a, others, b);
    _mm512_add_ps(_mm512_mask_blend_ps(0xf0f0, a, b), others)
}

/// Of each quarter, the lower half is `a`'s lanes 2 apart in that quarter, added; the upper half
/// `b`'s.
#[target_feature(enable = "avx512f")]
#[inline]
fn sums_2_apart(a: __m512, b: __m512) -> __m512 {
    let others = _mm512_shuffle_ps::<0b01_00_11_10>(a, b);
    _mm512_add_ps(_mm512_mask_blend_ps(0xcccc, a, b), others)
}

/// Of each pair, the first lane is the sum of both of `a`'s lanes; the second that of `b`'s.
#[target_feature(enable = "avx512f")]
#[inline]
fn sums_1_apart(a: __m512, b: __m512) -> __m512 {
    let others = _mm512_setr_epi32(1, 16, 3, 18, 5, 20, 7, 22, 9, 24, 11, 26, 13, 28, 15, 30);
    let others = _mm512_permutex2var_ps(a, others, b);
    _mm512_add_ps(_mm512_mask_blend_ps(0xaaaa, a, b), others)
}
