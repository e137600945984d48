//! The arguments that say how tokens are chosen.

use anyhow::{Result, bail, ensure};
use clap::Args;
use gatefold::sampler::Sampling;
use std::num::ParseIntError;
use std::time::{SystemTime, UNIX_EPOCH};

/// How tokens are chosen.
#[derive(Args)]
pub struct SamplingArgs {
    /// Temperature; 0 always takes the most probable token [default: 0.8, of summaries 0]
    #[arg(long, allow_negative_numbers = true, value_name = "T")]
    temp: Option<f32>,

    /// Draw from this many most probable tokens; 0 is all
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value = "40", value_parser = |n: &str| number_or(n, 0))]
    top_k: usize,

    /// Draw from the most probable tokens up to this sum of probabilities
    #[arg(long, allow_negative_numbers = true, value_name = "P", default_value_t = 0.95)]
    top_p: f32,

    /// Drop tokens less probable than this fraction of the most probable
    #[arg(long, allow_negative_numbers = true, value_name = "P", default_value_t = 0.05)]
    min_p: f32,

    /// Penalty on recent tokens; 1 is none
    #[arg(long, allow_negative_numbers = true, value_name = "R", default_value_t = 1.0)]
    repeat_penalty: f32,

    /// How many last tokens are recent; -1 is all
    #[arg(long, allow_negative_numbers = true, value_name = "N", default_value = "64", value_parser = |n: &str| number_or(n, usize::MAX))]
    repeat_last_n: usize,

    /// Seed: the same one gives the same text on every machine; -1 is one from the clock [default:
    /// -1, of summaries 0]
    #[arg(long, allow_negative_numbers = true, value_name = "N", value_parser = seed)]
    seed: Option<Seed>,
}

/// Where the random numbers begin.
#[derive(Clone, Copy)]
enum Seed {
    Clock,
    Number(u64),
}

fn seed(text: &str) -> Result<Seed, ParseIntError> {
    if text == "-1" { Ok(Seed::Clock) } else { text.parse().map(Seed::Number) }
}

/// A number, or what -1 stands for.
fn number_or(text: &str, all: usize) -> Result<usize, ParseIntError> {
    if text == "-1" { Ok(all) } else { text.parse() }
}

impl SamplingArgs {
    /// Checked, for an answer of which no two need be alike: temperature 0.8, and a seed from the
    /// clock.
    pub fn resolve(&self) -> Result<Sampling> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match self.seed {
            Some(Seed::Number(seed)) => self.checked(0.8, seed),
            Some(Seed::Clock) | None => self.checked(0.8, clock.as_nanos() as u64),
        }
    }

    /// Checked, with the temperature and the seed that hold where none is given, for answers that a
    /// later run goes on from.
    pub fn resolve_or(&self, temperature: f32, seed: u64) -> Result<Sampling> {
        match self.seed {
            Some(Seed::Number(seed)) => self.checked(temperature, seed),
            Some(Seed::Clock) => bail!(
                "--seed -1 is one from the clock, with which no run goes on from an earlier one; give a number"
            ),
            None => self.checked(temperature, seed),
        }
    }

    /// Whether nothing is said of it.
    pub fn is_default(&self) -> bool {
        let Self { temp, top_k, top_p, min_p, repeat_penalty, repeat_last_n, seed } = self;
        let is_said = temp.is_some() || seed.is_some();
        !is_said
            && (*top_k, *repeat_last_n) == (40, 64)
            && (*top_p, *min_p, *repeat_penalty) == (0.95, 0.05, 1.0)
    }

    fn checked(&self, temperature: f32, seed: u64) -> Result<Sampling> {
        let Self { top_p, min_p, repeat_penalty, .. } = *self;
        let temp = self.temp.unwrap_or(temperature);
        ensure!(temp >= 0.0 && temp.is_finite(), "--temp is {temp}; expected 0 or more");
        ensure!((0.0..=1.0).contains(&top_p), "--top-p is {top_p}; expected 0 to 1");
        ensure!((0.0..=1.0).contains(&min_p), "--min-p is {min_p}; expected 0 to 1");
        ensure!(
            repeat_penalty > 0.0 && repeat_penalty.is_finite(),
            "--repeat-penalty is {repeat_penalty}; expected a positive number, 1 for none"
        );
        Ok(Sampling {
            temperature: temp,
            top_k: self.top_k,
            top_p,
            min_p,
            repeat_penalty,
            repeat_last_n: self.repeat_last_n,
            seed,
            ..Sampling::default()
        })
    }
}
