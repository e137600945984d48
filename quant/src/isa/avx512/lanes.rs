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
    fn max(self, other: Self) -> Self {
        lanes!(_mm512_max_ps(self.0, other.0))
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
    fn zero_below(self, limit: Self) -> Self {
        lanes!({
            let stays = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(self.0, limit.0);
            _mm512_maskz_mov_ps(stays, self.0)
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
}
