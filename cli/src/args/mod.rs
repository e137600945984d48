//! The arguments that several commands share, and what they resolve to.

pub mod engine;
pub mod environment;
pub mod foreign;
pub mod form;
pub mod model;
pub mod prompt_cache;
pub mod sampling;
pub mod shard;
pub mod size;
pub mod stdin;
pub mod template;
pub mod text;
