//! How long a layer takes, and the disk: what forecasts are made of.

use super::{Options, Test, measure};
use anyhow::Result;
use gatefold::Compute;
use gatefold::gguf::Gguf;
use gatefold::inspect::{Forecast, Larger, Measured, Seconds};
use gatefold::model::{Model, PageLayout};
use std::fmt::Display;

/// Tokens of the prompt that is measured, if the context is as long.
const PROMPT_LEN: usize = 512;

/// Tokens that each answer makes.
const ANSWER_LEN: usize = 12;

const N_ROUNDS: usize = 3;

/// How often the progress of a forecast is told: of reading, and of two warm-ups with their tests.
pub const FORECAST_STEPS: usize = 1 + 2 * (1 + 3 * N_ROUNDS);

/// Bytes that are read to see how fast the disk is.
const DISK_BYTES: u64 = 1 << 30;

/// How fast a model will run that is, or is not, `larger` than memory: measured on its first two layers,
/// which must fit. `progress` hears what is done.
///
/// # Errors
/// If they do not fit, or the file cannot be read.
pub fn forecast(
    gguf: &Gguf,
    compute: &Compute,
    larger: Option<&Larger>,
    mut progress: impl FnMut(&dyn Display),
) -> Result<Forecast> {
    let model = Model::load(gguf)?;
    let n_layers = model.config().n_layers;
    let disk_bytes_per_second = match larger {
        Some(_) => {
            progress(&"reading from the disk");
            model.disk_rate(gguf, DISK_BYTES)?
        }
        None => None,
    };
    let mut seconds = |n_layers| seconds(gguf, compute, n_layers, &mut progress);
    let one = seconds(1)?;
    let two = if n_layers > 1 { seconds(2)? } else { one };
    let [alone, together, prompt] =
        std::array::from_fn(|idx| Seconds::of_one_and_two(one[idx], two[idx]));
    let measured = Measured { alone, together, prompt, disk_bytes_per_second };
    Ok(Forecast::new(n_layers, &measured, larger))
}

/// Seconds for a token of a single answer, of many together and of a prompt, with the first layers alone.
fn seconds(
    gguf: &Gguf,
    compute: &Compute,
    n_layers: usize,
    progress: &mut impl FnMut(&dyn Display),
) -> Result<[f64; 3]> {
    let model = Model::load(gguf)?.first_layers(n_layers);
    let prompt_len = PROMPT_LEN.min(model.config().context_len);
    let test = |n_sequences| Test::Decode { n_steps: ANSWER_LEN, n_sequences, depth: 0 };
    let tests = vec![test(1), test(Forecast::N_TOGETHER), Test::Prompt { n_tokens: prompt_len }];
    let cache_format = PageLayout::compact_format(model.config());
    let options = Options { tests, n_rounds: N_ROUNDS, step_len: prompt_len, cache_format };
    let measurements = measure(gguf, &model, compute, &options, |_, next| {
        progress(&format_args!("{next} with {n_layers} of the layers"));
    })?;
    Ok(std::array::from_fn(|idx| 1.0 / measurements[idx].tokens_per_second))
}
