//! One file per block format.

mod float;
mod q4_0;
mod q4_k;

pub use float::{Bf16, F16, F32};
pub use q4_0::Q4_0;
pub use q4_k::Q4K;
