//! The headers of blocks, unpacked several at a time: scales, minimums and, of super-blocks, the
//! packed integers of sub-blocks.

pub mod flat;
pub mod super_block;
