//! Integer dot products, exact on every CPU.

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected as has};

/// How a CPU multiplies and adds up small integers. A value is a proof that it can.
pub trait Dot: Copy {
    /// Four numbers whose sum is that of the products of all bytes of `weights`, of magnitudes up
    /// to `largest`, with those of `x`, at most 127.
    fn dot<const N: usize>(
        self,
        weights: [int8x16_t; N],
        x: [int8x16_t; N],
        largest: i32,
    ) -> int32x4_t;
}

/// What every CPU has: multiplications into 16 bits.
#[derive(Clone, Copy)]
pub struct Plain;

/// The dot products of four bytes (`sdot`).
#[derive(Clone, Copy)]
pub struct DotProd(());

impl DotProd {
    /// If this CPU has them.
    pub fn detect() -> Option<DotProd> {
        has!("dotprod").then_some(DotProd(()))
    }
}

impl Dot for Plain {
    #[inline(always)]
    fn dot<const N: usize>(
        self,
        weights: [int8x16_t; N],
        x: [int8x16_t; N],
        largest: i32,
    ) -> int32x4_t {
        let products_per_word = i16::MAX as i32 / (127 * largest);
        // SAFETY: NEON is part of the target.
        unsafe {
            let mut sums = vdupq_n_s32(0);
            let mut words = vdupq_n_s16(0);
            for i in 0..N {
                words = vmlal_s8(words, vget_low_s8(weights[i]), vget_low_s8(x[i]));
                words = vmlal_high_s8(words, weights[i], x[i]);
                // Two products more must not overflow.
                if i + 1 == N || 2 * (i as i32 + 2) > products_per_word {
                    sums = vpadalq_s16(sums, words);
                    words = vdupq_n_s16(0);
                }
            }
            sums
        }
    }
}

impl Dot for DotProd {
    #[inline(always)]
    fn dot<const N: usize>(
        self,
        weights: [int8x16_t; N],
        x: [int8x16_t; N],
        _largest: i32,
    ) -> int32x4_t {
        // SAFETY: NEON is part of the target.
        let mut sums = unsafe { vdupq_n_s32(0) };
        for (weights, x) in weights.into_iter().zip(x) {
            // SAFETY: `self` proves that the CPU has the instruction, which touches registers alone.
            // In assembly, since its intrinsic is not stable.
            unsafe {
                asm!(
                    ".arch_extension dotprod",
                    "sdot {sums:v}.4s, {weights:v}.16b, {x:v}.16b",
                    sums = inout(vreg) sums,
                    weights = in(vreg) weights,
                    x = in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
        sums
    }
}
