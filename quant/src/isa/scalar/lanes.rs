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

    fn store(self, kind: FloatKind, bytes: &mut [u8]) {
        for (value, bytes) in self.0.into_iter().zip(bytes.chunks_exact_mut(kind.bytes())) {
            match kind {
                FloatKind::F32 => bytes.copy_from_slice(&value.to_le_bytes()),
                FloatKind::F16 => bytes.copy_from_slice(&f16::from_f32(value).to_le_bytes()),
                FloatKind::Bf16 => bytes.copy_from_slice(&bf16::from_f32(value).to_le_bytes()),
            }
        }
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

    fn abs(self) -> Self {
        ScalarLanes(self.0.map(f32::abs))
    }

    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    fn round(self) -> Self {
        ScalarLanes(self.0.map(f32::round_ties_even))
    }

    fn exp2_int(self) -> Self {
        ScalarLanes(self.0.map(|power| f32::from_bits(((power as i32 + 127) as u32) << 23)))
    }

    fn if_less(self, other: Self, less: Self, otherwise: Self) -> Self {
        ScalarLanes(std::array::from_fn(|lane| {
            if self.0[lane] < other.0[lane] { less.0[lane] } else { otherwise.0[lane] }
        }))
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

    fn transpose(rows: &mut [Self; N_LANES]) {
        for i in 1..N_LANES {
            for j in 0..i {
                (rows[i].0[j], rows[j].0[i]) = (rows[j].0[i], rows[i].0[j]);
            }
        }
    }
}
