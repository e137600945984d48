//! The keys of metadata that say what a model is, and the checks of their values.
//!
//! Their names begin with the architecture's: `llama.block_count`. GGUF has the same names for all
//! architectures.

use super::{Architecture, ArchitectureError};
use crate::gguf::Metadata;

pub(super) const BLOCK_COUNT: &str = "block_count";
pub(super) const CONTEXT_LENGTH: &str = "context_length";
pub(super) const EMBEDDING_LENGTH: &str = "embedding_length";
pub(super) const FEED_FORWARD_LENGTH: &str = "feed_forward_length";
pub(super) const VOCAB_SIZE: &str = "vocab_size";
pub(super) const HEAD_COUNT: &str = "attention.head_count";
pub(super) const HEAD_COUNT_KV: &str = "attention.head_count_kv";
pub(super) const KEY_LENGTH: &str = "attention.key_length";
pub(super) const VALUE_LENGTH: &str = "attention.value_length";
pub(super) const SLIDING_WINDOW: &str = "attention.sliding_window";
pub(super) const SLIDING_WINDOW_PATTERN: &str = "attention.sliding_window_pattern";
pub(super) const NORM_EPSILON: &str = "attention.layer_norm_rms_epsilon";
pub(super) const ROPE_DIMENSION_COUNT: &str = "rope.dimension_count";
pub(super) const ROPE_FREQ_BASE: &str = "rope.freq_base";
pub(super) const ROPE_SCALING_TYPE: &str = "rope.scaling.type";
pub(super) const ROPE_SCALING_FACTOR: &str = "rope.scaling.factor";
pub(super) const ROPE_ORIGINAL_LEN: &str = "rope.scaling.original_context_length";
pub(super) const ROPE_ATTENTION_FACTOR: &str = "rope.scaling.attn_factor";
pub(super) const YARN_ATTENTION_FACTOR: &str = "rope.scaling.yarn_attn_factor";
pub(super) const YARN_BETA_FAST: &str = "rope.scaling.yarn_beta_fast";
pub(super) const YARN_BETA_SLOW: &str = "rope.scaling.yarn_beta_slow";
/// What the logarithm is multiplied by in attention's factor, of other architectures.
pub(super) const YARN_LOG_FACTOR: &str = "rope.scaling.yarn_log_multiplier";
/// How much of YaRN there is in a mixture with linear scaling.
pub(super) const YARN_MIX: &str = "rope.scaling.yarn_ext_factor";
/// Our own: GGUF has no name for dynamic scaling.
pub(super) const ROPE_DYNAMIC_FACTOR: &str = "rope.scaling.dynamic_factor";
/// Of older files, in place of the factor.
pub(super) const ROPE_SCALE_LINEAR: &str = "rope.scale_linear";
pub(super) const EXPERT_COUNT: &str = "expert_count";
pub(super) const EXPERT_USED_COUNT: &str = "expert_used_count";

/// No size in a model comes near this; below it, products of two sizes cannot overflow.
pub const MAX_SIZE: u64 = 1 << 30;

/// The keys of an architecture in the metadata of a file, with the checks that sizes need.
pub(super) struct Keys<'a> {
    pub file: String,
    pub architecture: &'static Architecture,
    pub metadata: &'a Metadata,
}

impl Keys<'_> {
    /// A value that cannot be run.
    pub fn refuse(
        &self,
        key: &str,
        found: impl ToString,
        expected: impl ToString,
    ) -> ArchitectureError {
        refuse(&self.file, self.architecture.key(key), found, expected)
    }

    pub fn contains(&self, key: &str) -> bool {
        self.metadata.contains(&self.architecture.key(key))
    }

    pub fn str(&self, key: &str) -> Result<Option<&str>, ArchitectureError> {
        Ok(self.metadata.str(&self.architecture.key(key))?)
    }

    /// A size from 1 to [`MAX_SIZE`].
    pub fn size(&self, key: &str) -> Result<usize, ArchitectureError> {
        let name = self.architecture.key(key);
        match self.metadata.required(&name, self.metadata.u64(&name))? {
            size @ 1..=MAX_SIZE => Ok(size as usize),
            size => Err(self.refuse(key, size, format!("1 to {MAX_SIZE}"))),
        }
    }

    pub fn size_or(&self, key: &str, default: usize) -> Result<usize, ArchitectureError> {
        if self.contains(key) { self.size(key) } else { Ok(default) }
    }

    /// A size, or 0, which is also what an absent key stands for.
    pub fn count(&self, key: &str) -> Result<usize, ArchitectureError> {
        match self.metadata.u64(&self.architecture.key(key))? {
            None | Some(0) => Ok(0),
            _ => self.size(key),
        }
    }

    /// A number.
    pub fn number(&self, key: &str) -> Result<Option<f32>, ArchitectureError> {
        Ok(self.metadata.f32(&self.architecture.key(key))?)
    }

    /// A finite number above 0; with 0 or less, files say that there is none.
    pub fn factor(&self, key: &str) -> Result<Option<f32>, ArchitectureError> {
        match self.number(key)? {
            None => Ok(None),
            Some(value) if value <= 0.0 => Ok(None),
            Some(_) => self.positive(key, None).map(Some),
        }
    }

    /// A finite number above 0.
    pub fn positive(&self, key: &str, default: Option<f32>) -> Result<f32, ArchitectureError> {
        let name = self.architecture.key(key);
        let value = self.metadata.f32(&name).map(|value| value.or(default));
        match self.metadata.required(&name, value)? {
            value if value > 0.0 && value.is_finite() => Ok(value),
            value => Err(self.refuse(key, value, "a positive number")),
        }
    }
}

/// The error of a value of `file` that cannot be run.
pub(super) fn refuse(
    file: &str,
    key: String,
    found: impl ToString,
    expected: impl ToString,
) -> ArchitectureError {
    let (found, expected) = (found.to_string(), expected.to_string());
    ArchitectureError::Metadata { file: file.to_owned(), key, found, expected }
}
