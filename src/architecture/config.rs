//! The sizes of a model: read from a file's metadata, and written back.

use super::keys::{self, Keys};
use super::rope::stretched_len;
use super::{ARCHITECTURES, Architecture, ArchitectureError, RopeConfig, RopeScaling};
use crate::gguf::{ARCHITECTURE_KEY, Gguf, Metadata, Value};
use std::path::Path;

/// The sizes of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Which tensors and keys the model has.
    pub architecture: &'static Architecture,
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
    /// Tokens that attention reaches back over, a token's own included (sliding window attention,
    /// arXiv 2310.06825); all where there is none.
    pub window: Option<usize>,
    /// Added to the mean square in norms.
    pub norm_epsilon: f32,
    /// Rotary embedding.
    pub rope: RopeConfig,
}

impl Config {
    /// Reads the sizes.
    ///
    /// # Errors
    /// If the architecture is another, a key is missing or mistyped, or sizes contradict each
    /// other.
    pub fn from_gguf(gguf: &Gguf) -> Result<Config, ArchitectureError> {
        Config::from_metadata(gguf.path(), gguf.metadata())
    }

    /// Reads the sizes from the metadata of `file`.
    ///
    /// # Errors
    /// As [`Self::from_gguf`].
    pub fn from_metadata(file: &Path, metadata: &Metadata) -> Result<Config, ArchitectureError> {
        let file = file.display().to_string();
        let name = metadata.required(ARCHITECTURE_KEY, metadata.str(ARCHITECTURE_KEY))?;
        let Some(architecture) = Architecture::of(metadata)? else {
            let known =
                ARCHITECTURES.iter().map(|known| format!("'{}', {}", known.name, known.models));
            let expected = known.collect::<Vec<_>>().join(", or ");
            return Err(keys::refuse(&file, ARCHITECTURE_KEY.into(), name, expected));
        };
        let keys = Keys { file, architecture, metadata };
        let dim = keys.size(keys::EMBEDDING_LENGTH)?;
        let (n_heads, n_kv_heads, head_dim) = heads(&keys, dim)?;
        let trained_len = keys.size(keys::CONTEXT_LENGTH)?;
        let rope = RopeConfig::read(&keys, head_dim, trained_len)?;
        let n_experts = keys.count(keys::EXPERT_COUNT)?;
        let top_k = keys.count(keys::EXPERT_USED_COUNT)?;
        if n_experts > 0 && !(1..=n_experts).contains(&top_k) {
            let expected = format!("1 to {n_experts}, the number of experts");
            return Err(keys.refuse(keys::EXPERT_USED_COUNT, top_k, expected));
        }
        let context_len = match rope.scaling {
            RopeScaling::Dynamic { factor, original_len } => stretched_len(original_len, factor),
            _ => trained_len,
        };
        Ok(Config {
            architecture,
            dim,
            n_layers: keys.size(keys::BLOCK_COUNT)?,
            n_heads,
            n_kv_heads,
            head_dim,
            hidden_dim: keys.size(architecture.hidden_dim_key)?,
            n_experts,
            top_k,
            context_len,
            window: window(&keys)?,
            norm_epsilon: keys.positive(keys::NORM_EPSILON, None)?,
            rope,
        })
    }

    /// Sets the keys that [`Self::from_metadata`] reads, and the number of tokens.
    pub(super) fn write(&self, n_vocab: usize, metadata: &mut Metadata) {
        let architecture = self.architecture;
        let mut set = |key: &str, value: Value| metadata.set(architecture.key(key), value);
        // Sizes are below 2^30.
        let size = |size: usize| Value::U32(size as u32);
        set(keys::BLOCK_COUNT, size(self.n_layers));
        set(keys::CONTEXT_LENGTH, size(self.trained_len()));
        set(keys::EMBEDDING_LENGTH, size(self.dim));
        set(architecture.hidden_dim_key, size(self.hidden_dim));
        set(keys::VOCAB_SIZE, size(n_vocab));
        set(keys::HEAD_COUNT, size(self.n_heads));
        set(keys::HEAD_COUNT_KV, size(self.n_kv_heads));
        if self.n_heads * self.head_dim != self.dim {
            set(keys::KEY_LENGTH, size(self.head_dim));
            set(keys::VALUE_LENGTH, size(self.head_dim));
        }
        set(keys::NORM_EPSILON, Value::F32(self.norm_epsilon));
        self.rope.write(&mut set);
        if let Some(window) = self.window {
            set(keys::SLIDING_WINDOW, size(window));
        }
        if self.n_experts > 0 {
            set(keys::EXPERT_COUNT, size(self.n_experts));
            set(keys::EXPERT_USED_COUNT, size(self.top_k));
        }
    }

    /// The context that is right where nobody asks for another: the whole, unless rotations change
    /// beyond the length that the model was trained with, which costs short texts some quality.
    pub fn usual_context_len(&self) -> usize {
        self.rope.original_len().map_or(self.context_len, |len| len.min(self.context_len))
    }

    /// What the file says of the longest sequence: dynamic scaling goes beyond it.
    fn trained_len(&self) -> usize {
        match self.rope.scaling {
            RopeScaling::Dynamic { original_len, .. } => original_len,
            _ => self.context_len,
        }
    }

    /// Query heads that share a key and value head.
    pub fn group_len(&self) -> usize {
        self.n_heads / self.n_kv_heads
    }
}

/// The sliding window, which all layers have.
fn window(keys: &Keys<'_>) -> Result<Option<usize>, ArchitectureError> {
    let window = Some(keys.count(keys::SLIDING_WINDOW)?).filter(|&window| window > 0);
    if window.is_some() && keys.contains(keys::SLIDING_WINDOW_PATTERN) {
        let expected = "no such key: all layers have the window";
        return Err(keys.refuse(keys::SLIDING_WINDOW_PATTERN, "there", expected));
    }
    Ok(window)
}

/// Query heads, key and value heads, and the width of a head.
fn heads(keys: &Keys<'_>, dim: usize) -> Result<(usize, usize, usize), ArchitectureError> {
    let n_heads = keys.size(keys::HEAD_COUNT)?;
    let n_kv_heads = keys.size_or(keys::HEAD_COUNT_KV, n_heads)?;
    if n_heads % n_kv_heads != 0 {
        let expected = format!("a divisor of {n_heads} heads");
        return Err(keys.refuse(keys::HEAD_COUNT_KV, n_kv_heads, expected));
    }
    if !dim.is_multiple_of(n_heads) && !keys.contains(keys::KEY_LENGTH) {
        let expected = format!("a divisor of the embedding's {dim} dimensions");
        return Err(keys.refuse(keys::HEAD_COUNT, n_heads, expected));
    }
    let head_dim = keys.size_or(keys::KEY_LENGTH, dim / n_heads)?;
    let value_dim = keys.size_or(keys::VALUE_LENGTH, head_dim)?;
    if value_dim != head_dim {
        let expected = format!("{head_dim}, the length of keys");
        return Err(keys.refuse(keys::VALUE_LENGTH, value_dim, expected));
    }
    Ok((n_heads, n_kv_heads, head_dim))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Yarn;
    use crate::gguf::{Bytes, Writer};

    /// The sizes of a model with these keys besides the necessary ones.
    fn config(keys: &[(&str, Value)]) -> Result<Config, ArchitectureError> {
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
    fn scalings_of_rotations_are_read() {
        let kind = |kind: &str| ("rope.scaling.type", Value::String(kind.into()));
        let factor = |factor| ("rope.scaling.factor", Value::F32(factor));
        let scaling = |keys: &[(&str, Value)]| config(keys).map(|config| config.rope.scaling);
        let linear = |factor| RopeScaling::Linear { factor };
        for (keys, expected) in [
            (vec![], RopeScaling::None),
            (vec![kind("linear"), factor(2.0)], linear(2.0)),
            (vec![kind("none"), factor(2.0)], RopeScaling::None),
            (vec![kind("linear"), factor(0.0)], RopeScaling::None),
            (vec![factor(-1.0)], RopeScaling::None),
            (vec![("rope.scale_linear", Value::F32(4.0))], linear(4.0)),
            (vec![factor(0.0), ("rope.scale_linear", Value::F32(4.0))], linear(4.0)),
            (vec![kind("longrope")], RopeScaling::LongRope { original_len: 100 }),
        ] {
            assert_eq!(scaling(&keys).unwrap(), expected, "{keys:?}");
        }
        let mix = |mix| ("rope.scaling.yarn_ext_factor", Value::F32(mix));
        assert_eq!(scaling(&[kind("yarn"), factor(4.0), mix(0.0)]).unwrap(), linear(4.0));
        let original = ("rope.scaling.original_context_length", Value::U32(25));
        let yarn = Yarn { factor: 4.0, original_len: 25, beta_fast: 32.0, beta_slow: 1.0 };
        let keys = [kind("yarn"), factor(4.0), original, mix(-1.0)];
        assert_eq!(scaling(&keys).unwrap(), RopeScaling::Yarn(yarn));

        let error = scaling(&[kind("su"), factor(2.0)]).unwrap_err().to_string();
        assert!(error.contains("llama.rope.scaling.type is su"), "{error}");
        let error = scaling(&[kind("a\n\x1b[2J")]).unwrap_err().to_string();
        assert!(error.contains(r"llama.rope.scaling.type is a\n\u{1b}[2J; expected"), "{error}");
        assert!(scaling(&[kind("linear"), factor(f32::NAN)]).is_err());
        let error = scaling(&[kind("yarn"), factor(4.0), mix(0.5)]).unwrap_err().to_string();
        assert!(error.contains("yarn_ext_factor is 0.5; expected 0 or 1"), "{error}");
    }

    #[test]
    fn contexts_reach_beyond_the_original_length_on_request_alone() {
        let dynamic = ("rope.scaling.dynamic_factor", Value::F32(2.5));
        let dynamic = config(&[dynamic]).unwrap();
        assert_eq!((dynamic.context_len, dynamic.usual_context_len()), (250, 100));
        let long = [
            ("rope.scaling.type", Value::String("longrope".into())),
            ("rope.scaling.original_context_length", Value::U32(40)),
        ];
        let long = config(&long).unwrap();
        assert_eq!((long.context_len, long.usual_context_len()), (100, 40));
        let plain = config(&[]).unwrap();
        assert_eq!((plain.context_len, plain.usual_context_len()), (100, 100));
    }

    #[test]
    fn sizes_that_are_written_are_read_back() {
        let plain = config(&[]).unwrap();
        let mixture = Config {
            n_kv_heads: 2,
            head_dim: 16,
            n_experts: 4,
            top_k: 2,
            rope: RopeConfig { attention_factor: 1.5, ..RopeConfig::plain(8, 1e6) },
            ..plain.clone()
        };
        let window = Config { window: Some(30), ..plain.clone() };
        let yarn = Yarn { factor: 4.0, original_len: 25, beta_fast: 16.0, beta_slow: 2.0 };
        let scaled = |scaling, context_len| Config {
            context_len,
            rope: RopeConfig { scaling, ..plain.rope.clone() },
            ..plain.clone()
        };
        let scaled = [
            scaled(RopeScaling::Linear { factor: 4.0 }, 100),
            scaled(RopeScaling::Yarn(yarn), 100),
            scaled(RopeScaling::Dynamic { factor: 2.0, original_len: 100 }, 200),
            scaled(RopeScaling::LongRope { original_len: 50 }, 100),
        ];
        for config in [plain.clone(), mixture, window].into_iter().chain(scaled) {
            let mut metadata = Metadata::new();
            metadata.set(ARCHITECTURE_KEY, Value::String(config.architecture.name.into()));
            config.write(300, &mut metadata);
            assert_eq!(Config::from_metadata(Path::new("keys"), &metadata).unwrap(), config);
        }
    }
}
