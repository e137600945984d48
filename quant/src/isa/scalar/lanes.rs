//! Sixteen lanes as an array.

use crate::format::FloatKind;
use crate::vector::{Lanes, N_LANES};
use half::{bf16, f16};

#[derive(Clone, Copy)]
pub struct ScalarLanes([f32; N_LANES]);

impl ScalarLanes {
    #[inline(always)]
    fn zip(self, other: Self, op: impl Fn(f32, f32) -> f32) -> Self {
        ScalarLanes(std::array::from_fn(|lane| op(self.0[lane], other.0[lane])))
    }
}

impl Lanes for ScalarLanes {
    fn splat(value: f32) -> Self {
        ScalarLanes([value; N_LANES])
    }

    fn from_array(values: [f32; N_LANES]) -> Self {
        ScalarLanes(values)
    }

    fn to_array(self) -> [f32; N_LANES] {
        self.0
    }

    fn load(kind: FloatKind, bytes: &[u8]) -> Self {
        let pair = |lane: usize| [bytes[2 * lane], bytes[2 * lane + 1]];
        ScalarLanes(std::array::from_fn(|lane| match kind {
            FloatKind::F32 => f32::from_le_bytes(bytes.as_chunks().0[lane]),
            FloatKind::F16 => f16::from_le_bytes(pair(lane)).to_f32(),
            FloatKind::Bf16 => bf16::from_le_bytes(pair(lane)).to_f32(),
        }))
    }

    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    fn mul_add(self, factor: Self, addend: Self) -> Self {
        ScalarLanes(std::array::from_fn(|lane| {
            self.0[lane].mul_add(factor.0[lane], addend.0[lane])
        }))
    }

    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    fn round(self) -> Self {
        ScalarLanes(self.0.map(f32::round_ties_even))
    }

    fn exp2_int(self) -> Self {
        ScalarLanes(self.0.map(|power| f32::from_bits(((power as i32 + 127) as u32) << 23)))
    }

    fn zero_below(self, limit: Self) -> Self {
        self.zip(limit, |value, limit| if value < limit { 0.0 } else { value })
    }

    fn to_i8(self) -> [i8; N_LANES] {
        self.0.map(|value| value as i8)
    }

    fn sum(self) -> f32 {
        let mut lanes = self.0;
        for apart in [8, 4, 2, 1] {
            for lane in 0..apart {
                lanes[lane] += lanes[lane + apart];
            }
        }
        lanes[0]
    }
}
