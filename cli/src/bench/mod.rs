//! How fast a model runs, against what the machine can do at most.
//!
//! [`measure`] runs a list of [`Test`]s in rounds. A round has every test once, so that whatever
//! else the machine does meanwhile hits all alike, and between any two of them the same threads
//! measure how fast memory is read and int8 numbers are multiplied (`ceilings`). A test's bytes and
//! multiply-adds per second over these rates are the shares that it reaches ([`Measurement`]).
//!
//! Tokens are random ([`Random`]): a repeated one would go to the same experts over and over, and
//! flatter. [`forecast`] measures the first layers alone, and says how fast all will be. [`synthetic`]
//! makes files of a model's full shape and random weights.

mod ceilings;
mod error;
mod layers;
mod measurement;
mod random;
pub mod synthetic;
mod workload;

pub use error::BenchError;
pub use layers::{FORECAST_STEPS, forecast};
pub use measurement::{Ceiling, Measurement, Reached};
pub use random::Random;
pub use workload::Test;

use ceilings::Ceilings;
use gatefold::Compute;
use gatefold::DynFormat;
use gatefold::gguf::Gguf;
use gatefold::machine::Machine;
use gatefold::model::{Model, PageLayout, PagePool};
use measurement::Round;
use std::fmt::Display;
use workload::Workload;

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The tests.
    pub tests: Vec<Test>,
    /// How often each runs.
    pub n_rounds: usize,
    /// Tokens of a prompt that go through the model together.
    pub step_len: usize,
    /// Format of the keys and values.
    pub cache_format: &'static DynFormat,
}

/// Read before anything is measured: so many tokens that nearly every expert is used, and a file
/// comes into memory.
const WARM_UP: Test = Test::Prompt { n_tokens: 64 };

/// Runs the tests, and returns their figures in the same order. `progress` hears before each run of
/// one how many are done, and what comes next.
///
/// # Errors
/// If there are no tests, the sequences do not fit into the model's context or the memory, or its
/// heads the cache's format.
///
/// # Panics
/// If rounds or steps are of nothing.
pub fn measure(
    gguf: &Gguf,
    model: &Model,
    compute: &Compute,
    options: &Options,
    mut progress: impl FnMut(usize, &dyn Display),
) -> Result<Vec<Measurement>, BenchError> {
    let Options { ref tests, n_rounds, step_len, cache_format } = *options;
    assert!(n_rounds > 0 && step_len > 0);
    check_context(tests, model.config().context_len)?;
    let layout = PageLayout::new(model.config(), cache_format)?;
    check_memory(tests.iter().map(|test| test.cache_bytes(layout)).sum())?;
    let pool = PagePool::new(layout, u64::MAX);
    let mut random = Random::new(0);

    progress(0, &"warming up");
    let mut workload = |test| Workload::new(test, &pool, compute, &mut random);
    let mut warm_up = workload(WARM_UP)?;
    let mut workloads = tests.iter().map(|&test| workload(test)).collect::<Result<Vec<_>, _>>()?;
    warm_up.run(model, compute, step_len, &mut random)?;

    let ceilings = Ceilings::new(compute, gguf, model);
    let mut rounds = vec![Vec::with_capacity(n_rounds); tests.len()];
    let mut before = ceilings.measure();
    for round_idx in 0..n_rounds {
        for (test_idx, workload) in workloads.iter_mut().enumerate() {
            progress(round_idx * tests.len() + test_idx, &workload.test());
            let effort = workload.run(model, compute, step_len, &mut random)?;
            let after = ceilings.measure();
            rounds[test_idx].push(Round { effort, ceilings: before.mean(after) });
            before = after;
        }
    }
    Ok(tests.iter().zip(&rounds).map(|(&test, rounds)| Measurement::new(test, rounds)).collect())
}

/// Checks that there are tests, and that the model can take their sequences.
fn check_context(tests: &[Test], context_len: usize) -> Result<(), BenchError> {
    let too_long = tests.iter().filter(|test| test.sequence_len() > context_len);
    let named: Vec<String> =
        too_long.map(|test| format!("{test} ({})", test.sequence_len())).collect();
    if !named.is_empty() {
        return Err(BenchError::Context { context_len, tests: named.join(", ") });
    }
    if tests.is_empty() { Err(BenchError::Nothing) } else { Ok(()) }
}

/// Checks that the caches fit into what is available.
fn check_memory(needed: u64) -> Result<(), BenchError> {
    match Machine::this() {
        Some(Machine { available_bytes: available, .. }) if needed > available => {
            Err(BenchError::Memory { needed, available })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_context_cannot_hold_is_refused() {
        let tests = Test::all(&[8, 16, 17], 4, &[12, 13], &[1]);
        let error = check_context(&tests, 16).unwrap_err().to_string();
        assert!(
            error.contains("up to 16 tokens") && error.contains(": pp17 (17), tg4@d13 (17);"),
            "{error}"
        );
        assert!(check_context(&tests, 17).is_ok());
        assert!(matches!(check_context(&[], 16), Err(BenchError::Nothing)));
    }

    #[test]
    fn what_takes_more_memory_than_there_is_is_refused() {
        if Machine::this().is_some() {
            let error = check_memory(u64::MAX).unwrap_err().to_string();
            assert!(error.contains("use a smaller -d or -b"), "{error}");
        }
        assert!(check_memory(0).is_ok());
    }
}
