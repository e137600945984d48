//! F32, F16 and BF16: a block is one weight.

use crate::format::{Float, FloatKind, Format};
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

            fn dequantize(block: &Self::Block, weights: &mut [f32]) {
                weights[0] = <$float>::from_le_bytes(*block).into();
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
