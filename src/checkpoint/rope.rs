//! Rotary embeddings as `config.json` has them, stretched in any of the ways that the transformers
//! library knows: <https://huggingface.co/docs/transformers/internal/rope_utils>.

use super::error::CheckpointError;
use super::json::JsonObject;
use crate::architecture::{Role, RopeConfig, RopeScaling, Yarn, stretched_len};
use std::f64::consts::TAU;

const BASE: &str = "rope_theta";
const FACTOR: &str = "factor";
const ATTENTION: &str = "attention_factor";
const ORIGINAL_LEN: &str = "original_max_position_embeddings";
const PARTIAL: &str = "partial_rotary_factor";

/// A tensor whose values are not in a file of weights, but follow from the configuration.
pub type Computed = (Role, Vec<f32>);

/// The rotary embedding of a model.
pub struct Rope {
    /// Its parameters.
    pub config: RopeConfig,
    /// The longest text, with the stretching.
    pub context_len: usize,
    /// Divisors of the frequencies.
    pub divisors: Vec<Computed>,
}

impl Rope {
    /// Reads `rope_theta` and `rope_scaling`, or both in `rope_parameters`, where transformers 5
    /// writes them; `base` is the kind's own.
    ///
    /// # Errors
    /// If a value is missing or absurd, or the scaling is none that can be run.
    pub fn read(config: &JsonObject, head_dim: usize, base: f32) -> Result<Rope, CheckpointError> {
        // As transformers has it, the first of the two that says something is all that counts.
        let objects = [config.object("rope_scaling")?, config.object("rope_parameters")?];
        let scaling = objects.into_iter().flatten().find(|object| object.iter().next().is_some());
        let within = scaling.as_ref().unwrap_or(config);
        let base = within.positive(BASE)?.or(config.positive(BASE)?).unwrap_or(base);
        let partial = [within, config].into_iter().find(|it| it.get(PARTIAL).is_some());
        if let Some(object) = partial
            && object.positive(PARTIAL)? != Some(1.0)
        {
            return Err(object.refuse(PARTIAL, "1: heads are rotated as a whole"));
        }
        const CONTEXT: &str = "max_position_embeddings";
        let context_len = config.required(CONTEXT, "the longest text", config.size(CONTEXT))?;
        let rope = RopeConfig::plain(head_dim, base);
        let rope = Rope { config: rope, context_len, divisors: vec![] };
        match scaling {
            Some(scaling) => rope.scaled(config, &scaling),
            None => Ok(rope),
        }
    }

    fn scaled(self, config: &JsonObject, scaling: &JsonObject) -> Result<Rope, CheckpointError> {
        let key = if scaling.get("rope_type").is_some() { "rope_type" } else { "type" };
        let given = zero_is_none(scaling, FACTOR)?;
        let original_len = config.size(ORIGINAL_LEN)?.or(scaling.size(ORIGINAL_LEN)?);
        let original_len = original_len.unwrap_or(self.context_len);
        let ratio = self.context_len as f32 / original_len as f32;
        let is_none = scaling.get(FACTOR).is_some() && given.is_none();
        let factor = || scaling.required(FACTOR, "how far it is stretched", Ok(given));
        let factor_or_ratio = given.unwrap_or(ratio);
        match scaling.str(key)? {
            // Nothing is to be done where nothing else is said.
            None => match scaling.iter().find(|(key, _)| ![BASE, PARTIAL].contains(key)) {
                Some((key, _)) => Err(scaling.refuse(key, "no such key without a rope_type")),
                None => Ok(self),
            },
            Some("default") => Ok(self),
            Some("linear" | "dynamic" | "yarn" | "llama3") if is_none => Ok(self),
            Some("linear") => {
                let factor = factor()?;
                Ok(self.with(RopeScaling::Linear { factor }, None))
            }
            Some("dynamic") => {
                let (factor, original_len) = (factor()?, self.context_len);
                let context_len = stretched_len(original_len, factor);
                let scaling = RopeScaling::Dynamic { factor, original_len };
                Ok(Rope { context_len, ..self.with(scaling, None) })
            }
            Some("yarn") => self.yarn(scaling, factor_or_ratio, original_len),
            Some("longrope" | "su") => self.long(scaling, factor_or_ratio, original_len),
            Some("llama3") => self.llama3(scaling, factor()?, original_len),
            Some(_) => {
                let known = "default, linear, dynamic, yarn, longrope or llama3";
                Err(scaling.refuse(key, known))
            }
        }
    }

    fn with(self, scaling: RopeScaling, attention_factor: Option<f64>) -> Rope {
        let attention_factor = attention_factor.map_or(1.0, |factor| factor as f32);
        let config = RopeConfig { scaling, attention_factor, ..self.config };
        Rope { config, ..self }
    }

    fn yarn(
        self,
        scaling: &JsonObject,
        factor: f32,
        original_len: usize,
    ) -> Result<Rope, CheckpointError> {
        let yarn = Yarn {
            factor,
            original_len,
            beta_fast: zero_is_none(scaling, "beta_fast")?.unwrap_or(Yarn::BETA_FAST),
            beta_slow: zero_is_none(scaling, "beta_slow")?.unwrap_or(Yarn::BETA_SLOW),
        };
        if scaling.bool("truncate")? == Some(false) {
            return Err(scaling.refuse("truncate", "true: the ramp goes from pair to pair"));
        }
        let own = Yarn::attention_factor(factor);
        // With `mscale` and `mscale_all_dim`, the factor of one over that of the other.
        let scale = |key| -> Result<Option<f64>, CheckpointError> {
            Ok(zero_is_none(scaling, key)?.map(|scale| f64::from(scale) * (own - 1.0) + 1.0))
        };
        let attention_factor = match (scaling.positive(ATTENTION)?, scale("mscale")?) {
            (Some(given), _) => Some(f64::from(given)),
            (None, Some(scale_of_values)) => {
                scale("mscale_all_dim")?.map(|scale_of_all| scale_of_values / scale_of_all)
            }
            (None, None) => None,
        };
        // Some files have the length before the stretching as the longest text, some that after.
        let context_len = self.context_len.max(stretched_len(original_len, factor));
        let relative = attention_factor.map(|factor| factor / own);
        Ok(Rope { context_len, ..self.with(RopeScaling::Yarn(yarn), relative) })
    }

    fn long(
        self,
        scaling: &JsonObject,
        factor: f32,
        original_len: usize,
    ) -> Result<Rope, CheckpointError> {
        let factor = f64::from(factor);
        let attention_factor = match scaling.positive(ATTENTION)? {
            Some(given) => f64::from(given),
            None if factor <= 1.0 => 1.0,
            None if original_len == 1 => {
                return Err(scaling.refuse(ORIGINAL_LEN, "2 or more tokens"));
            }
            None => libm::sqrt(1.0 + libm::log(factor) / libm::log(original_len as f64)),
        };
        let n_pairs = self.config.n_dims / 2;
        let list = |key| -> Result<Vec<f32>, CheckpointError> {
            let expected = format!("a list of {n_pairs} positive numbers, one per pair of a head");
            let list = scaling.typed(key, &expected, |value| {
                let numbers = value.as_array()?.iter().map(|number| Some(number.as_f64()? as f32));
                let numbers: Vec<f32> = numbers.collect::<Option<_>>()?;
                let is_sound = |number: &f32| *number > 0.0 && number.is_finite();
                (numbers.len() == n_pairs && numbers.iter().all(is_sound)).then_some(numbers)
            });
            scaling.required(key, "how the pairs of a head are stretched", list)
        };
        let divisors = vec![
            (Role::LongRotaryDivisors, list("long_factor")?),
            (Role::ShortRotaryDivisors, list("short_factor")?),
        ];
        let rope = self.with(RopeScaling::LongRope { original_len }, Some(attention_factor));
        Ok(Rope { divisors, ..rope })
    }

    /// Llama 3.1's scaling: wavelengths longer than the original length are stretched by the whole
    /// factor, those that fit in several times stay, with a ramp between. GGUF has it as divisors.
    fn llama3(
        self,
        scaling: &JsonObject,
        factor: f32,
        original_len: usize,
    ) -> Result<Rope, CheckpointError> {
        let turns = |key, what| scaling.required(key, what, scaling.positive(key));
        let slow = f64::from(turns("low_freq_factor", "which wavelengths are stretched")?);
        let fast = f64::from(turns("high_freq_factor", "which wavelengths stay")?);
        if slow >= fast {
            return Err(scaling.refuse("high_freq_factor", format!("more than {slow}")));
        }
        let (base, factor) = (f64::from(self.config.base), f64::from(factor));
        let n_dims = self.config.n_dims;
        let divisor = |pair: usize| {
            let frequency = libm::pow(base, -2.0 * pair as f64 / n_dims as f64);
            let turns = original_len as f64 * frequency / TAU;
            let kept = ((turns - slow) / (fast - slow)).clamp(0.0, 1.0);
            (1.0 / ((1.0 - kept) / factor + kept)) as f32
        };
        let divisors = (0..n_dims / 2).map(divisor).collect();
        Ok(Rope { divisors: vec![(Role::RotaryDivisors, divisors)], ..self })
    }
}

/// A positive number; 0 stands for none.
fn zero_is_none(object: &JsonObject, key: &str) -> Result<Option<f32>, CheckpointError> {
    match object.get(key).and_then(|number| number.as_f64()) {
        Some(0.0) => Ok(None),
        _ => object.positive(key),
    }
}
