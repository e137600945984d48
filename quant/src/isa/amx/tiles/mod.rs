//! GEMM micro-kernels on tile registers: the same tiles of 32 rows as AVX-512's
//! ([`crate::isa::avx512::tiles`]), sixteen tokens at a time.

pub mod flat;
pub mod super_block;
