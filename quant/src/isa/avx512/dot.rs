//! Integer dot products inside the 32-bit elements of a register, exact on every CPU.

use std::arch::x86_64::*;

/// How a CPU sums products of neighbouring small integers.
pub trait IntegerDot {
    /// Adds to each 32-bit element of `acc` the four products of its bytes of `unsigned`, each at
    /// most `max_unsigned`, with those of `signed`, each at least -127.
    ///
    /// # Safety
    /// The CPU must have what the implementation's name says, on top of this module's features.
    unsafe fn dot4(acc: __m512i, unsigned: __m512i, signed: __m512i, max_unsigned: i32) -> __m512i;

    /// Adds to each 32-bit element of `acc` the two products of its 16-bit halves of `a` and `b`.
    ///
    /// # Safety
    /// The CPU must have what the implementation's name says, on top of this module's features.
    unsafe fn dot2(acc: __m512i, a: __m512i, b: __m512i) -> __m512i;
}

/// With VNNI.
pub struct Vnni;

/// Without.
pub struct Plain;

impl IntegerDot for Vnni {
    #[inline(always)]
    unsafe fn dot4(acc: __m512i, unsigned: __m512i, signed: __m512i, _: i32) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_dpbusd_epi32(acc, unsigned, signed) }
    }

    #[inline(always)]
    unsafe fn dot2(acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_dpwssd_epi32(acc, a, b) }
    }
}

impl IntegerDot for Plain {
    /// The 16-bit sums of two products saturate beyond 128 * 127 * 2: larger bytes go in two parts.
    #[inline(always)]
    unsafe fn dot4(acc: __m512i, unsigned: __m512i, signed: __m512i, max_unsigned: i32) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe {
            let ones = _mm512_set1_epi16(1);
            if max_unsigned <= 128 {
                return Self::dot2(acc, _mm512_maddubs_epi16(unsigned, signed), ones);
            }
            let low_bits = _mm512_and_si512(unsigned, _mm512_set1_epi8(127));
            let high_bit = _mm512_and_si512(unsigned, _mm512_set1_epi8(-128));
            let acc = Self::dot2(acc, _mm512_maddubs_epi16(low_bits, signed), ones);
            Self::dot2(acc, _mm512_maddubs_epi16(high_bit, signed), ones)
        }
    }

    #[inline(always)]
    unsafe fn dot2(acc: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_add_epi32(acc, _mm512_madd_epi16(a, b)) }
    }
}
