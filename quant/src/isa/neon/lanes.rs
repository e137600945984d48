//! Sixteen lanes as four registers of four.

use crate::format::FloatKind;
use crate::vector::{Lanes, N_LANES};
use std::arch::aarch64::*;
use std::arch::asm;
use std::array::from_fn;

/// Lanes 0..4, 4..8, 8..12 and 12..16.
#[derive(Clone, Copy)]
pub struct NeonLanes([float32x4_t; 4]);

/// A lane-wise method from an operation on registers of four.
macro_rules! lane_wise {
    ($($name:ident($($register:ident),*) => $operation:expr;)*) => {
        $(
            #[inline(always)]
            fn $name(self, $($register: Self),*) -> Self {
                // SAFETY: NEON is part of the target, as the module's constant checks.
                NeonLanes(from_fn(|i| unsafe { $operation(self.0[i] $(, $register.0[i])*) }))
            }
        )*
    };
}

impl Lanes for NeonLanes {
    lane_wise! {
        add(other) => vaddq_f32;
        sub(other) => vsubq_f32;
        mul(other) => vmulq_f32;
        div(other) => vdivq_f32;
        mul_add(factor, addend) => mul_add;
        abs() => vabsq_f32;
        max(other) => max;
        min(other) => min;
        round() => vrndnq_f32;
        exp2_int() => exp2_int;
        if_less(other, less, otherwise) => if_less;
    }

    #[inline(always)]
    fn splat(value: f32) -> Self {
        // SAFETY: as in `lane_wise`.
        NeonLanes([unsafe { vdupq_n_f32(value) }; 4])
    }

    #[inline(always)]
    fn from_array(values: [f32; N_LANES]) -> Self {
        // SAFETY: the array holds all four groups of four; as in `lane_wise`.
        NeonLanes(from_fn(|i| unsafe { vld1q_f32(values.as_ptr().add(4 * i)) }))
    }

    #[inline(always)]
    fn to_array(self) -> [f32; N_LANES] {
        let mut values = [0.0; N_LANES];
        for (values, lanes) in values.as_chunks_mut::<4>().0.iter_mut().zip(self.0) {
            // SAFETY: the reference is to four values; as in `lane_wise`.
            unsafe { vst1q_f32(values.as_mut_ptr(), lanes) };
        }
        values
    }

    #[inline(always)]
    fn load(kind: FloatKind, bytes: &[u8]) -> Self {
        let group_bytes = 4 * kind.bytes();
        NeonLanes(from_fn(|i| {
            let values = bytes[i * group_bytes..][..group_bytes].as_ptr();
            // SAFETY: the slice holds four values; as in `lane_wise`.
            unsafe {
                match kind {
                    FloatKind::F32 => vreinterpretq_f32_u8(vld1q_u8(values)),
                    FloatKind::F16 => f16_to_f32(vreinterpret_u16_u8(vld1_u8(values))),
                    FloatKind::Bf16 => {
                        let halves = vreinterpret_u16_u8(vld1_u8(values));
                        vreinterpretq_f32_u32(vshll_n_u16::<16>(halves))
                    }
                }
            }
        }))
    }

    #[inline(always)]
    fn store(self, kind: FloatKind, bytes: &mut [u8]) {
        for (bytes, lanes) in bytes.chunks_exact_mut(4 * kind.bytes()).zip(self.0) {
            let at = bytes.as_mut_ptr();
            // SAFETY: the slice has room for four values; as in `lane_wise`.
            unsafe {
                match kind {
                    FloatKind::F32 => vst1q_u8(at, vreinterpretq_u8_f32(lanes)),
                    FloatKind::F16 => vst1_u8(at, vreinterpret_u8_u16(f32_to_f16(lanes))),
                    FloatKind::Bf16 => vst1_u8(at, vreinterpret_u8_u16(bf16_bits(lanes))),
                }
            }
        }
    }

    #[inline(always)]
    fn transpose(rows: &mut [Self; N_LANES]) {
        let quarter = |i: usize, j: usize| from_fn(|row| rows[4 * i + row].0[j]);
        // SAFETY: as in `lane_wise`.
        let quarters: [[_; 4]; 4] = from_fn(|i| from_fn(|j| unsafe { transposed(quarter(j, i)) }));
        for (row_idx, row) in rows.iter_mut().enumerate() {
            *row = NeonLanes(from_fn(|j| quarters[row_idx / 4][j][row_idx % 4]));
        }
    }

    #[inline(always)]
    fn to_i8(self) -> [i8; N_LANES] {
        let mut codes = [0; N_LANES];
        // SAFETY: the array holds sixteen bytes; as in `lane_wise`.
        unsafe {
            let [a, b, c, d] = self.0.map(|lanes| vmovn_s32(vcvtq_s32_f32(lanes)));
            let (low, high) = (vmovn_s16(vcombine_s16(a, b)), vmovn_s16(vcombine_s16(c, d)));
            vst1q_s8(codes.as_mut_ptr(), vcombine_s8(low, high));
        }
        codes
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        // SAFETY: as in `lane_wise`.
        unsafe {
            let four = vaddq_f32(vaddq_f32(a, c), vaddq_f32(b, d));
            vaddv_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)))
        }
    }
}

#[target_feature(enable = "neon")]
#[inline]
fn mul_add(value: float32x4_t, factor: float32x4_t, addend: float32x4_t) -> float32x4_t {
    vfmaq_f32(addend, value, factor)
}

/// By a comparison: the instruction for the maximum gives NaN where only one operand is NaN.
#[target_feature(enable = "neon")]
#[inline]
fn max(value: float32x4_t, other: float32x4_t) -> float32x4_t {
    vbslq_f32(vcgtq_f32(value, other), value, other)
}

#[target_feature(enable = "neon")]
#[inline]
fn min(value: float32x4_t, other: float32x4_t) -> float32x4_t {
    if_less(value, other, value, other)
}

/// 2 to the power of integers, by way of the bits of the exponent.
#[target_feature(enable = "neon")]
#[inline]
fn exp2_int(power: float32x4_t) -> float32x4_t {
    let biased = vaddq_s32(vcvtq_s32_f32(power), vdupq_n_s32(127));
    vreinterpretq_f32_s32(vshlq_n_s32::<23>(biased))
}

#[target_feature(enable = "neon")]
#[inline]
fn if_less(
    value: float32x4_t,
    other: float32x4_t,
    less: float32x4_t,
    otherwise: float32x4_t,
) -> float32x4_t {
    vbslq_f32(vcltq_f32(value, other), less, otherwise)
}

/// Four f16, given by their bits, as f32. In assembly, since intrinsics with f16 are not stable.
#[inline(always)]
pub fn f16_to_f32(halves: uint16x4_t) -> float32x4_t {
    let values;
    // SAFETY: NEON is part of the target; the instruction touches registers alone.
    unsafe {
        asm!(
            "fcvtl {values:v}.4s, {halves:v}.4h",
            values = out(vreg) values,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    values
}

/// The bits of the nearest f16, ties to even.
#[inline(always)]
fn f32_to_f16(values: float32x4_t) -> uint16x4_t {
    let halves;
    // SAFETY: as in `f16_to_f32`.
    unsafe {
        asm!(
            "fcvtn {halves:v}.4h, {values:v}.4s",
            halves = out(vreg) halves,
            values = in(vreg) values,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    halves
}

/// The upper halves, rounded to nearest, ties to even.
#[target_feature(enable = "neon")]
#[inline]
fn bf16_bits(values: float32x4_t) -> uint16x4_t {
    let bits = vreinterpretq_u32_f32(values);
    let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
    let half = vaddq_u32(vdupq_n_u32(0x7fff), odd);
    vshrn_n_u32::<16>(vaddq_u32(bits, half))
}

/// Lane `i` of row `j` of the result is lane `j` of row `i`.
#[target_feature(enable = "neon")]
#[inline]
pub fn transposed([a, b, c, d]: [float32x4_t; 4]) -> [float32x4_t; 4] {
    let (ac, bd) = ([vzip1q_f32(a, c), vzip2q_f32(a, c)], [vzip1q_f32(b, d), vzip2q_f32(b, d)]);
    [
        vzip1q_f32(ac[0], bd[0]),
        vzip2q_f32(ac[0], bd[0]),
        vzip1q_f32(ac[1], bd[1]),
        vzip2q_f32(ac[1], bd[1]),
    ]
}
