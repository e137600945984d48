//! Parameters of the rotary position embedding, and how it is stretched for long texts.

use super::ArchitectureError;
use super::keys::{self, Keys, MAX_SIZE};
use crate::gguf::Value;

/// Parameters of the rotary position embedding (RoPE, arXiv 2104.09864).
#[derive(Clone, Debug, PartialEq)]
pub struct RopeConfig {
    /// Leading dimensions of a head that are rotated.
    pub n_dims: usize,
    /// Base of the geometric progression of wavelengths.
    pub base: f32,
    /// How the wavelengths are stretched for texts beyond those of the training.
    pub scaling: RopeScaling,
    /// What cosines and sines are multiplied by, which sharpens attention in long texts; 1 for most
    /// models. YaRN's own factor comes on top.
    pub attention_factor: f32,
}

/// How the wavelengths of a rotary embedding are stretched. The frequency of pair `i` is
/// `base^(-2i / n_dims)`, unless it says otherwise here; Llama 3.1 and later have divisors of the
/// frequencies instead, as a tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// All alike: positions are divided by a factor (arXiv 2306.15595).
    Linear {
        /// The factor.
        factor: f32,
    },
    /// YaRN (arXiv 2309.00071): wavelengths that turn often within the original length stay, those
    /// that turn seldom are stretched, with a ramp between.
    Yarn(Yarn),
    /// A larger base in contexts beyond the original length: `base * (factor * context_len /
    /// original_len - (factor - 1))^(n_dims / (n_dims - 2))`.
    Dynamic {
        /// How many times the original length contexts may be.
        factor: f32,
        /// Tokens that the model was trained with.
        original_len: usize,
    },
    /// LongRoPE (arXiv 2402.13753): divisors of the frequencies, as tensors, of which contexts
    /// beyond the original length take others.
    LongRope {
        /// Tokens that the model was trained with.
        original_len: usize,
    },
}

/// Parameters of YaRN.
#[derive(Clone, Debug, PartialEq)]
pub struct Yarn {
    /// How far slow wavelengths are stretched.
    pub factor: f32,
    /// Tokens that the model was trained with before.
    pub original_len: usize,
    /// Pairs that turn more often than this within the original length keep their wavelength.
    pub beta_fast: f32,
    /// Pairs that turn less often than this are stretched by the whole factor.
    pub beta_slow: f32,
}

impl Yarn {
    /// As the paper has it for models of Llama's kind.
    pub const BETA_FAST: f32 = 32.0;
    /// As the paper has it for models of Llama's kind.
    pub const BETA_SLOW: f32 = 1.0;

    /// What cosines and sines are multiplied by: `0.1 ln(factor) + 1`.
    pub fn attention_factor(factor: f32) -> f64 {
        0.1 * libm::log(f64::from(factor).max(1.0)) + 1.0
    }
}

/// How long texts may be where `original_len` is stretched by a factor.
pub fn stretched_len(original_len: usize, factor: f32) -> usize {
    (original_len as f64 * f64::from(factor.max(1.0))).min(MAX_SIZE as f64) as usize
}

impl RopeConfig {
    /// Rotations without any scaling.
    pub const fn plain(n_dims: usize, base: f32) -> RopeConfig {
        RopeConfig { n_dims, base, scaling: RopeScaling::None, attention_factor: 1.0 }
    }

    /// The length beyond which a context has other rotations, where they depend on its length.
    pub fn original_len(&self) -> Option<usize> {
        match self.scaling {
            RopeScaling::Dynamic { original_len, .. } | RopeScaling::LongRope { original_len } => {
                Some(original_len)
            }
            RopeScaling::None | RopeScaling::Linear { .. } | RopeScaling::Yarn(_) => None,
        }
    }

    /// `context_len` is that of the same file.
    pub(super) fn read(
        keys: &Keys<'_>,
        head_dim: usize,
        context_len: usize,
    ) -> Result<RopeConfig, ArchitectureError> {
        let n_dims = keys.size_or(keys::ROPE_DIMENSION_COUNT, head_dim)?;
        if n_dims > head_dim || n_dims % 2 != 0 {
            let expected = format!("an even number up to {head_dim}, the width of a head");
            return Err(keys.refuse(keys::ROPE_DIMENSION_COUNT, n_dims, expected));
        }
        let attention_factors = [keys::ROPE_ATTENTION_FACTOR, keys::YARN_ATTENTION_FACTOR];
        let mut attention_factor = 1.0;
        for key in attention_factors {
            attention_factor *= keys.factor(key)?.unwrap_or(1.0);
        }
        Ok(RopeConfig {
            n_dims,
            base: keys.positive(keys::ROPE_FREQ_BASE, Some(10_000.0))?,
            scaling: RopeScaling::read(keys, context_len)?,
            attention_factor,
        })
    }

    /// Sets the keys that [`Self::read`] reads.
    pub(super) fn write(&self, set: &mut impl FnMut(&str, Value)) {
        // Sizes are below 2^30.
        let size = |size: usize| Value::U32(size as u32);
        set(keys::ROPE_DIMENSION_COUNT, size(self.n_dims));
        set(keys::ROPE_FREQ_BASE, Value::F32(self.base));
        let mut set_type = |name: &str| set(keys::ROPE_SCALING_TYPE, Value::String(name.into()));
        match &self.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear { factor } => {
                set_type("linear");
                set(keys::ROPE_SCALING_FACTOR, Value::F32(*factor));
            }
            RopeScaling::Yarn(yarn) => {
                set_type("yarn");
                set(keys::ROPE_SCALING_FACTOR, Value::F32(yarn.factor));
                set(keys::ROPE_ORIGINAL_LEN, size(yarn.original_len));
                set(keys::YARN_BETA_FAST, Value::F32(yarn.beta_fast));
                set(keys::YARN_BETA_SLOW, Value::F32(yarn.beta_slow));
            }
            // Programs that do not know the key run the original length, without scaling.
            RopeScaling::Dynamic { factor, .. } => {
                set(keys::ROPE_DYNAMIC_FACTOR, Value::F32(*factor));
            }
            RopeScaling::LongRope { original_len } => {
                set_type("longrope");
                set(keys::ROPE_ORIGINAL_LEN, size(*original_len));
            }
        }
        if self.attention_factor != 1.0 {
            set(keys::ROPE_ATTENTION_FACTOR, Value::F32(self.attention_factor));
        }
    }
}

impl RopeScaling {
    fn read(keys: &Keys<'_>, context_len: usize) -> Result<RopeScaling, ArchitectureError> {
        if let Some(factor) = keys.factor(keys::ROPE_DYNAMIC_FACTOR)? {
            return Ok(RopeScaling::Dynamic { factor, original_len: context_len });
        }
        // Older files have a factor without a type, or the factor under an older key.
        let factor = match keys.factor(keys::ROPE_SCALING_FACTOR)? {
            Some(factor) => Some(factor),
            None => keys.factor(keys::ROPE_SCALE_LINEAR)?,
        };
        let original_len = || match keys.count(keys::ROPE_ORIGINAL_LEN)? {
            0 => Ok(context_len),
            original_len => Ok::<_, ArchitectureError>(original_len),
        };
        match (keys.str(keys::ROPE_SCALING_TYPE)?, factor) {
            (Some("none"), _) | (None | Some("linear"), None | Some(1.0)) => Ok(RopeScaling::None),
            (None | Some("linear"), Some(factor)) => Ok(RopeScaling::Linear { factor }),
            (Some("yarn"), factor) => {
                // The share of YaRN in a mixture with linear scaling; negative where it is not set.
                let mix = keys.number(keys::YARN_MIX)?.filter(|mix| *mix >= 0.0);
                match (mix, factor) {
                    (None | Some(1.0), _) => {}
                    (Some(0.0), None) => return Ok(RopeScaling::None),
                    (Some(0.0), Some(factor)) => return Ok(RopeScaling::Linear { factor }),
                    (Some(mix), _) => return Err(keys.refuse(keys::YARN_MIX, mix, "0 or 1")),
                }
                if let Some(factor) = keys.factor(keys::YARN_LOG_FACTOR)? {
                    let expected = "0: attention is sharpened by the logarithm of the factor alone";
                    return Err(keys.refuse(keys::YARN_LOG_FACTOR, factor, expected));
                }
                Ok(RopeScaling::Yarn(Yarn {
                    factor: factor.unwrap_or(1.0),
                    original_len: original_len()?,
                    beta_fast: keys.factor(keys::YARN_BETA_FAST)?.unwrap_or(Yarn::BETA_FAST),
                    beta_slow: keys.factor(keys::YARN_BETA_SLOW)?.unwrap_or(Yarn::BETA_SLOW),
                }))
            }
            (Some("longrope"), _) => Ok(RopeScaling::LongRope { original_len: original_len()? }),
            (Some(other), _) => {
                let expected = "'none', 'linear', 'yarn' or 'longrope'";
                Err(keys.refuse(keys::ROPE_SCALING_TYPE, other, expected))
            }
        }
    }
}
