//! The sizes of a model, from a file's metadata.

use super::ModelError;
use crate::gguf::{Gguf, Metadata};
use std::path::Path;

/// The sizes of a model of GGUF architecture `llama`: Mixtral, Mistral, Llama and relatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Width of the residual stream.
    pub dim: usize,
    /// Transformer layers.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; each serves `n_heads / n_kv_heads` query heads.
    pub n_kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Width inside an expert (or inside the feed-forward network of a dense model).
    pub hidden_dim: usize,
    /// Experts per layer; 0 in a dense model.
    pub n_experts: usize,
    /// Experts that each token is routed to.
    pub top_k: usize,
    /// Longest sequence the model was made for, in tokens.
    pub context_len: usize,
    /// Added to the mean square in norms.
    pub norm_epsilon: f32,
    /// Rotary embedding.
    pub rope: RopeConfig,
}

/// Parameters of the rotary position embedding (arXiv 2104.09864).
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// Leading dimensions of a head that are rotated.
    pub n_dims: usize,
    /// Base of the geometric progression of wavelengths.
    pub base: f32,
    /// Positions are divided by this (linear scaling); 1 without scaling.
    pub scale: f32,
}

impl Config {
    /// Reads the sizes.
    ///
    /// # Errors
    /// If the architecture is another, a key is missing or mistyped, or sizes contradict each
    /// other.
    pub fn from_gguf(gguf: &Gguf) -> Result<Config, ModelError> {
        Config::from_metadata(gguf.path(), gguf.metadata())
    }

    /// Reads the sizes from the metadata of `file`.
    ///
    /// # Errors
    /// As [`Self::from_gguf`].
    pub fn from_metadata(file: &Path, metadata: &Metadata) -> Result<Config, ModelError> {
        let keys = Keys { file: file.display().to_string(), metadata };
        const ARCHITECTURE: &str = "general.architecture";
        let architecture = keys.metadata.required(ARCHITECTURE, keys.metadata.str(ARCHITECTURE))?;
        if architecture != "llama" {
            return Err(keys.refuse(
                ARCHITECTURE,
                architecture,
                "'llama', the architecture of Mixtral, Mistral, Llama and their fine-tunes",
            ));
        }
        let n_heads = keys.size("llama.attention.head_count")?;
        let dim = keys.size("llama.embedding_length")?;
        let n_kv_heads = keys.size_or("llama.attention.head_count_kv", n_heads)?;
        if n_heads % n_kv_heads != 0 {
            return Err(keys.refuse(
                "llama.attention.head_count_kv",
                n_kv_heads,
                format!("a divisor of {n_heads} heads"),
            ));
        }
        const KEY_LENGTH: &str = "llama.attention.key_length";
        if dim % n_heads != 0 && !keys.metadata.contains(KEY_LENGTH) {
            let expected = format!("a divisor of the embedding's {dim} dimensions");
            return Err(keys.refuse("llama.attention.head_count", n_heads, expected));
        }
        let head_dim = keys.size_or(KEY_LENGTH, dim / n_heads)?;
        let value_dim = keys.size_or("llama.attention.value_length", head_dim)?;
        if value_dim != head_dim {
            let expected = format!("{head_dim}, the length of keys");
            return Err(keys.refuse("llama.attention.value_length", value_dim, expected));
        }
        let n_experts = keys.count_or("llama.expert_count", 0)?;
        let top_k = keys.count_or("llama.expert_used_count", 0)?;
        if n_experts > 0 && !(1..=n_experts).contains(&top_k) {
            let expected = format!("1 to {n_experts}, the number of experts");
            return Err(keys.refuse("llama.expert_used_count", top_k, expected));
        }
        Ok(Config {
            dim,
            n_layers: keys.size("llama.block_count")?,
            n_heads,
            n_kv_heads,
            head_dim,
            hidden_dim: keys.size("llama.feed_forward_length")?,
            n_experts,
            top_k,
            context_len: keys.size("llama.context_length")?,
            norm_epsilon: keys.positive("llama.attention.layer_norm_rms_epsilon", None)?,
            rope: RopeConfig::from_keys(&keys, head_dim)?,
        })
    }

    /// Query heads that share a key and value head.
    pub fn group_len(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }
}

impl RopeConfig {
    fn from_keys(keys: &Keys<'_>, head_dim: usize) -> Result<RopeConfig, ModelError> {
        let n_dims = keys.size_or("llama.rope.dimension_count", head_dim)?;
        if n_dims > head_dim || n_dims % 2 != 0 {
            let expected = format!("an even number up to {head_dim}, the width of a head");
            return Err(keys.refuse("llama.rope.dimension_count", n_dims, expected));
        }
        const SCALING: &str = "llama.rope.scaling.type";
        // Older files have a factor without a type, or the factor under an older key.
        let older_factor = keys.positive("llama.rope.scale_linear", Some(1.0))?;
        let factor = keys.positive("llama.rope.scaling.factor", Some(older_factor))?;
        let scale = match keys.metadata.str(SCALING)? {
            None | Some("linear") => factor,
            Some("none") => 1.0,
            Some(other) => return Err(keys.refuse(SCALING, other, "'none' or 'linear'")),
        };
        Ok(RopeConfig {
            n_dims,
            base: keys.positive("llama.rope.freq_base", Some(10_000.0))?,
            scale,
        })
    }
}

/// Metadata with the checks that sizes need.
struct Keys<'a> {
    file: String,
    metadata: &'a Metadata,
}

/// No size in a model comes near this; below it, products of two sizes cannot overflow.
pub(crate) const MAX_SIZE: u64 = 1 << 30;

impl Keys<'_> {
    fn refuse(&self, key: &str, found: impl ToString, expected: impl ToString) -> ModelError {
        ModelError::Metadata {
            file: self.file.clone(),
            key: key.to_owned(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    fn size(&self, key: &str) -> Result<usize, ModelError> {
        match self.metadata.required(key, self.metadata.u64(key))? {
            size @ 1..=MAX_SIZE => Ok(size as usize),
            size => Err(self.refuse(key, size, format!("1 to {MAX_SIZE}"))),
        }
    }

    fn size_or(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        if self.metadata.contains(key) { self.size(key) } else { Ok(default) }
    }

    fn count_or(&self, key: &str, default: usize) -> Result<usize, ModelError> {
        match self.metadata.u64(key)? {
            Some(0) => Ok(0),
            _ => self.size_or(key, default),
        }
    }

    fn positive(&self, key: &str, default: Option<f32>) -> Result<f32, ModelError> {
        let value = self.metadata.f32(key).map(|value| value.or(default));
        match self.metadata.required(key, value)? {
            value if value > 0.0 && value.is_finite() => Ok(value),
            value => Err(self.refuse(key, value, "a positive number")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::{Bytes, Value, Writer};

    /// The sizes of a model with these keys besides the necessary ones.
    fn config(keys: &[(&str, Value)]) -> Result<Config, ModelError> {
        let mut metadata = Metadata::new();
        metadata.set("general.architecture", Value::String("llama".into()));
        for (key, size) in [
            ("block_count", 2),
            ("embedding_length", 48),
            ("feed_forward_length", 64),
            ("attention.head_count", 4),
            ("context_length", 100),
        ] {
            metadata.set(format!("llama.{key}"), Value::U32(size));
        }
        metadata.set("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
        for (key, value) in keys {
            metadata.set(format!("llama.{key}"), value.clone());
        }
        let file = Writer::new(Vec::new(), &metadata, vec![]).unwrap().finish().unwrap();
        Config::from_gguf(&Gguf::from_bytes("keys.gguf", Bytes::from(file))?)
    }

    #[test]
    fn heads_take_their_width_from_the_embedding_or_their_own_key() {
        let plain = config(&[]).unwrap();
        assert_eq!((plain.head_dim, plain.n_kv_heads, plain.group_len()), (12, 4, 1));
        let heads = |n| ("attention.head_count", Value::U32(n));
        let error = config(&[heads(5)]).unwrap_err().to_string();
        assert!(error.contains("head_count is 5; expected a divisor of"), "{error}");
        let keys = ("attention.key_length", Value::U32(16));
        assert_eq!(config(&[heads(5), keys]).unwrap().head_dim, 16);
    }

    #[test]
    fn missing_keys_are_named() {
        let keys = Metadata::new();
        let file = Writer::new(Vec::new(), &keys, vec![]).unwrap().finish().unwrap();
        let gguf = Gguf::from_bytes("keys.gguf", Bytes::from(file)).unwrap();
        let error = Config::from_gguf(&gguf).unwrap_err().to_string();
        assert!(error.contains("keys.gguf: has no key general.architecture"), "{error}");
    }

    #[test]
    fn linear_rope_scaling_is_honoured_and_others_are_refused() {
        let kind = |kind: &str| ("rope.scaling.type", Value::String(kind.into()));
        let factor = ("rope.scaling.factor", Value::F32(2.0));
        let scale = |keys: &[(&str, Value)]| config(keys).map(|config| config.rope.scale);
        assert_eq!(scale(&[]).unwrap(), 1.0);
        assert_eq!(scale(&[kind("linear"), factor.clone()]).unwrap(), 2.0);
        assert_eq!(scale(&[kind("none"), factor.clone()]).unwrap(), 1.0);
        assert_eq!(scale(&[("rope.scale_linear", Value::F32(4.0))]).unwrap(), 4.0);
        let error = scale(&[kind("yarn"), factor]).unwrap_err().to_string();
        assert!(error.contains("llama.rope.scaling.type is yarn"), "{error}");
        let error = scale(&[kind("a\n\x1b[2J")]).unwrap_err().to_string();
        assert!(error.contains(r"llama.rope.scaling.type is a\n\u{1b}[2J; expected"), "{error}");
        assert!(scale(&[kind("linear"), ("rope.scaling.factor", Value::F32(0.0))]).is_err());
    }
}
