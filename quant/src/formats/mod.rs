//! One file per block format.

mod float;
mod iq4_nl;
mod iq4_xs;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

pub use float::{Bf16, F16, F32};
pub use iq4_nl::Iq4Nl;
pub use iq4_xs::Iq4Xs;
pub use q2_k::Q2K;
pub use q3_k::Q3K;
pub use q4_0::Q4_0;
pub use q4_1::Q4_1;
pub use q4_k::Q4K;
pub use q5_0::Q5_0;
pub use q5_1::Q5_1;
pub use q5_k::Q5K;
pub use q6_k::Q6K;
pub use q8_0::Q8_0;

use crate::format::{FLAT_LEN, Flat, SUPER_LEN, Super};
use crate::header;
use half::f16;

/// The weights of a block of 32.
#[inline(always)]
fn dequantize_flat<F: Flat>(block: &F::Block, weights: &mut [f32]) {
    let block = bytemuck::bytes_of(block);
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let mut unsigned = [0; FLAT_LEN];
    F::LAYOUT.unpack(block, &mut unsigned);
    for (weight, u) in weights.iter_mut().zip(unsigned) {
        *weight = scale * (i32::from(u) - F::LAYOUT.offset()) as f32;
    }
    if F::HAS_MINIMUM {
        let minimum = f16::from_le_bytes([block[2], block[3]]).to_f32();
        weights.iter_mut().for_each(|weight| *weight += minimum);
    }
}

/// The weights of a block of 256.
fn dequantize_super<F: Super>(block: &F::Block, weights: &mut [f32]) {
    let scales = header::unpack::<F>(block);
    let (scale, minimum) = (scales.scale.to_f32(), scales.minimum.to_f32());
    let mut unsigned = [0; SUPER_LEN];
    F::LAYOUT.unpack(bytemuck::bytes_of(block), &mut unsigned);
    for (i, (weight, u)) in weights.iter_mut().zip(unsigned).enumerate() {
        let scale = scale * f32::from(scales.sub_scales[i / 16]);
        let minimum = minimum * f32::from(scales.sub_minimums[i / 16]);
        *weight = scale * (i32::from(u) - F::LAYOUT.offset()) as f32 - minimum;
    }
}
