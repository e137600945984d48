//! The headers of a block of each of eight rows, as vectors: a row's are in its lane.

pub mod super_block;
