//! Integer dot products, exact on every CPU.

use super::lanes::transposed;
use crate::isa::stamp::each;
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
            // SAFETY: `self` proves that the CPU has the instruction, which touches registers
            // alone. In assembly, since its intrinsic is not stable.
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

/// Sums of products of four rows of weights with four tokens, sixteen columns at a time.
///
/// Weights and activations come in the order that the instruction wants; the sixteen sums lie in
/// four registers, each implementation in its own way.
pub trait FourByFour: Copy {
    /// Puts sixteen columns of four rows into order.
    fn rows(self, rows: [int8x16_t; 4]) -> [int8x16_t; 4];
    /// Puts sixteen columns of four tokens into order.
    fn tokens(self, tokens: [int8x16_t; 4]) -> [int8x16_t; 4];
    /// Adds the products to the sums.
    fn add_products(
        self,
        sums: [int32x4_t; 4],
        rows: [int8x16_t; 4],
        tokens: [int8x16_t; 4],
    ) -> [int32x4_t; 4];
    /// For each sum, the value of its row, of four.
    fn of_rows(self, values: float32x4_t) -> [float32x4_t; 4];
    /// For each sum, the value of its token, of four.
    fn of_tokens(self, values: float32x4_t) -> [float32x4_t; 4];
    /// From sums to a register per token with a row in each lane.
    fn by_token(self, sums: [float32x4_t; 4]) -> [float32x4_t; 4];
    /// The inverse of [`Self::by_token`].
    fn own_order(self, tokens: [float32x4_t; 4]) -> [float32x4_t; 4];
}

/// A register has four columns of the four rows, which meet four columns of one token. Sums: a
/// register per token, a row in each lane.
impl FourByFour for DotProd {
    #[inline(always)]
    fn rows(self, rows: [int8x16_t; 4]) -> [int8x16_t; 4] {
        // SAFETY: NEON is part of the target.
        unsafe {
            let columns = transposed(each!(r in [0 1 2 3] => vreinterpretq_f32_s8(rows[r])));
            each!(i in [0 1 2 3] => vreinterpretq_s8_f32(columns[i]))
        }
    }

    #[inline(always)]
    fn tokens(self, tokens: [int8x16_t; 4]) -> [int8x16_t; 4] {
        tokens
    }

    #[inline(always)]
    fn add_products(
        self,
        mut sums: [int32x4_t; 4],
        rows: [int8x16_t; 4],
        tokens: [int8x16_t; 4],
    ) -> [int32x4_t; 4] {
        for t in 0..4 {
            sums[t] = self.with_four_columns::<0>(sums[t], rows[0], tokens[t]);
            sums[t] = self.with_four_columns::<1>(sums[t], rows[1], tokens[t]);
            sums[t] = self.with_four_columns::<2>(sums[t], rows[2], tokens[t]);
            sums[t] = self.with_four_columns::<3>(sums[t], rows[3], tokens[t]);
        }
        sums
    }

    #[inline(always)]
    fn of_rows(self, values: float32x4_t) -> [float32x4_t; 4] {
        [values; 4]
    }

    #[inline(always)]
    fn of_tokens(self, values: float32x4_t) -> [float32x4_t; 4] {
        // SAFETY: NEON is part of the target.
        unsafe {
            [
                vdupq_laneq_f32::<0>(values),
                vdupq_laneq_f32::<1>(values),
                vdupq_laneq_f32::<2>(values),
                vdupq_laneq_f32::<3>(values),
            ]
        }
    }

    #[inline(always)]
    fn by_token(self, sums: [float32x4_t; 4]) -> [float32x4_t; 4] {
        sums
    }

    #[inline(always)]
    fn own_order(self, tokens: [float32x4_t; 4]) -> [float32x4_t; 4] {
        tokens
    }
}

impl DotProd {
    /// Adds to lane `r` the products of the four bytes of `rows` there with bytes `4 * QUARTER..`
    /// of `token`.
    #[inline(always)]
    fn with_four_columns<const QUARTER: usize>(
        self,
        mut sums: int32x4_t,
        rows: int8x16_t,
        token: int8x16_t,
    ) -> int32x4_t {
        // SAFETY: `self` proves that the CPU has the instruction, which touches registers alone.
        unsafe {
            asm!(
                ".arch_extension dotprod",
                "sdot {sums:v}.4s, {rows:v}.16b, {token:v}.4b[{quarter}]",
                sums = inout(vreg) sums,
                rows = in(vreg) rows,
                token = in(vreg) token,
                quarter = const QUARTER,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}

/// The products of matrices of two by eight bytes (`smmla`).
#[derive(Clone, Copy)]
pub struct I8mm(());

impl I8mm {
    /// If this CPU has them.
    pub fn detect() -> Option<I8mm> {
        has!("i8mm").then_some(I8mm(()))
    }

    /// Adds the products of two rows' eight columns with two tokens': row 0 with both tokens, then
    /// row 1.
    #[inline(always)]
    fn two_by_two(self, mut sums: int32x4_t, rows: int8x16_t, tokens: int8x16_t) -> int32x4_t {
        // SAFETY: `self` proves that the CPU has the instruction, which touches registers alone.
        // In assembly, since its intrinsic is not stable.
        unsafe {
            asm!(
                ".arch_extension i8mm",
                "smmla {sums:v}.4s, {rows:v}.16b, {tokens:v}.16b",
                sums = inout(vreg) sums,
                rows = in(vreg) rows,
                tokens = in(vreg) tokens,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sums
    }
}

/// A register has eight columns of two rows or tokens: the first two, the last two, then the other
/// eight columns. Sums: rows 0 and 1 with tokens 0 and 1, the same rows with tokens 2 and 3, then
/// rows 2 and 3.
impl FourByFour for I8mm {
    #[inline(always)]
    fn rows(self, rows: [int8x16_t; 4]) -> [int8x16_t; 4] {
        // SAFETY: NEON is part of the target.
        unsafe {
            let [a, b, c, d] = each!(r in [0 1 2 3] => vreinterpretq_s64_s8(rows[r]));
            let pairs = [vzip1q_s64(a, b), vzip1q_s64(c, d), vzip2q_s64(a, b), vzip2q_s64(c, d)];
            each!(i in [0 1 2 3] => vreinterpretq_s8_s64(pairs[i]))
        }
    }

    #[inline(always)]
    fn tokens(self, tokens: [int8x16_t; 4]) -> [int8x16_t; 4] {
        self.rows(tokens)
    }

    #[inline(always)]
    fn add_products(
        self,
        mut sums: [int32x4_t; 4],
        rows: [int8x16_t; 4],
        tokens: [int8x16_t; 4],
    ) -> [int32x4_t; 4] {
        for half in [0, 2] {
            for i in 0..4 {
                sums[i] = self.two_by_two(sums[i], rows[half + i / 2], tokens[half + i % 2]);
            }
        }
        sums
    }

    #[inline(always)]
    fn of_rows(self, values: float32x4_t) -> [float32x4_t; 4] {
        // SAFETY: NEON is part of the target.
        let (low, high) = unsafe { (vzip1q_f32(values, values), vzip2q_f32(values, values)) };
        [low, low, high, high]
    }

    #[inline(always)]
    fn of_tokens(self, values: float32x4_t) -> [float32x4_t; 4] {
        // SAFETY: NEON is part of the target.
        let (low, high) = unsafe {
            let pairs = vreinterpretq_f64_f32(values);
            let (low, high) = (vdupq_laneq_f64::<0>(pairs), vdupq_laneq_f64::<1>(pairs));
            (vreinterpretq_f32_f64(low), vreinterpretq_f32_f64(high))
        };
        [low, high, low, high]
    }

    #[inline(always)]
    fn by_token(self, [a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
        // SAFETY: NEON is part of the target.
        unsafe { [vuzp1q_f32(a, c), vuzp2q_f32(a, c), vuzp1q_f32(b, d), vuzp2q_f32(b, d)] }
    }

    #[inline(always)]
    fn own_order(self, [a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
        // SAFETY: NEON is part of the target.
        unsafe { [vzip1q_f32(a, b), vzip1q_f32(c, d), vzip2q_f32(a, b), vzip2q_f32(c, d)] }
    }
}
