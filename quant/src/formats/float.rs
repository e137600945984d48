//! F32, F16 and BF16: a block is one weight.

use crate::format::{Float, FloatFamily, FloatKind, Format};
use half::{bf16, f16};

macro_rules! float_format {
    ($(#[$doc:meta])* $format:ident, $name:literal, $gguf_type:literal, $kind:ident, $float:ty, $bytes:literal) => {
        $(#[$doc])*
        pub struct $format;

        impl Format for $format {
            const NAME: &'static str = $name;
            const GGUF_TYPE: u32 = $gguf_type;
            const BLOCK_LEN: usize = 1;
            type Block = [u8; $bytes];
            type Family = FloatFamily;

            fn dequantize(block: &Self::Block, weights: &mut [f32]) {
                weights[0] = <$float>::from_le_bytes(*block).into();
            }

            #[inline(always)]
            fn quantize(weights: &[f32]) -> Self::Block {
                let narrow: fn(f32) -> $float = $format::narrow;
                narrow(weights[0]).to_le_bytes()
            }
        }

        impl Float for $format {
            const KIND: FloatKind = FloatKind::$kind;
        }
    };
}

float_format!(/** IEEE binary32. */ F32, "F32", 0, F32, f32, 4);
float_format!(/** IEEE binary16. */ F16, "F16", 1, F16, f16, 2);
float_format!(/** The upper half of a binary32. */ Bf16, "BF16", 30, Bf16, bf16, 2);

impl F32 {
    fn narrow(weight: f32) -> f32 {
        weight
    }
}

impl F16 {
    /// The nearest that is finite.
    fn narrow(weight: f32) -> f16 {
        f16::from_f32(weight.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
    }
}

impl Bf16 {
    /// The nearest that is finite.
    fn narrow(weight: f32) -> bf16 {
        bf16::from_f32(weight.clamp(bf16::MIN.to_f32(), bf16::MAX.to_f32()))
    }
}
