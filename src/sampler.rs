//! From logits to the next token.
//!
//! The steps, in llama.cpp's order: bias, penalties, top-k, top-p, min-p, temperature, draw. Where an
//! answer has a form to keep to, the tokens that it does not allow are gone before top-k. Sums run in
//! one order, exponentials are our own and the random numbers are ChaCha8's, so a seed gives the same
//! text on every machine.

use crate::constraint::TokenSet;
use gatefold_quant::Isa;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits before the draw; 0 always takes the most probable token.
    pub temperature: f32,
    /// Keeps this many most probable tokens; 0 keeps all.
    pub top_k: usize,
    /// Keeps the most probable tokens up to this sum of probabilities; 1 keeps all.
    pub top_p: f32,
    /// Drops tokens less probable than this fraction of the most probable; 0 drops none.
    pub min_p: f32,
    /// Divides positive logits, and multiplies negative ones, of recent tokens; 1 changes nothing.
    pub repeat_penalty: f32,
    /// How many last tokens are recent.
    pub repeat_last_n: usize,
    /// Taken from the logit of each token that the answer has already; 0 changes nothing.
    pub presence_penalty: f32,
    /// The same for each time that the answer has it; 0 changes nothing.
    pub frequency_penalty: f32,
    /// Tokens, and what is added to their logits before anything else; finite.
    pub logit_bias: Vec<(u32, f32)>,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.05,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }
}

/// Why no token can be chosen.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// The model computed something that is not a number.
    #[error(
        "the logit of token {id} is {logit}: the model's weights are damaged (`inspect::check` finds the tensor)"
    )]
    NotFinite {
        /// The first such token.
        id: usize,
        /// Its logit.
        logit: f32,
    },
    /// What the answer has so far leads nowhere.
    #[error(
        "no token of the vocabulary may come next: the form of the answer has no way on from here"
    )]
    NothingAllowed,
}

/// Chooses tokens, one after another.
pub struct Sampler {
    sampling: Sampling,
    isa: Isa,
    rng: ChaCha8Rng,
    /// The tokens of the answer so far, and how often it has each.
    counts: BTreeMap<u32, u32>,
    /// Ids that are never chosen, ascending.
    never: Arc<[u32]>,
}

/// A token and its logit.
#[derive(Clone, Copy)]
struct Candidate {
    id: u32,
    logit: f32,
}

impl Candidate {
    /// More probable first, then the lower id: a total order, so that ties are settled.
    fn order(&self, other: &Candidate) -> std::cmp::Ordering {
        other.logit.total_cmp(&self.logit).then(self.id.cmp(&other.id))
    }
}

impl Sampler {
    /// A sampler at the beginning of its random numbers.
    pub fn new(isa: Isa, sampling: Sampling) -> Sampler {
        let rng = ChaCha8Rng::seed_from_u64(sampling.seed);
        Sampler { sampling, isa, rng, counts: BTreeMap::new(), never: Arc::default() }
    }

    /// The same, which never chooses these tokens, given in ascending order: there must be others.
    pub fn without(self, never: Arc<[u32]>) -> Sampler {
        Sampler { never, ..self }
    }

    /// Chooses the token that follows `history`: the prompt, and all tokens chosen so far.
    ///
    /// # Errors
    /// If a logit is not finite.
    pub fn choose(&mut self, logits: &[f32], history: &[u32]) -> Result<u32, SamplerError> {
        self.choose_among(None, logits, history)
    }

    /// As [`Self::choose`], one of the tokens that are `allowed`; none allows all.
    ///
    /// # Errors
    /// If a logit is not finite, or no token is allowed.
    pub fn choose_among(
        &mut self,
        allowed: Option<&TokenSet>,
        logits: &[f32],
        history: &[u32],
    ) -> Result<u32, SamplerError> {
        let chosen = self.choose_uncounted(allowed, logits, history)?;
        *self.counts.entry(chosen).or_default() += 1;
        Ok(chosen)
    }

    fn choose_uncounted(
        &mut self,
        allowed: Option<&TokenSet>,
        logits: &[f32],
        history: &[u32],
    ) -> Result<u32, SamplerError> {
        if let Some(id) = logits.iter().position(|logit| !logit.is_finite()) {
            return Err(SamplerError::NotFinite { id, logit: logits[id] });
        }
        let mut candidates: Vec<Candidate> =
            (0..).zip(logits).map(|(id, &logit)| Candidate { id, logit }).collect();
        self.penalize(&mut candidates, history);
        if !self.never.is_empty() {
            candidates.retain(|candidate| self.never.binary_search(&candidate.id).is_err());
        }
        if let Some(allowed) = allowed {
            candidates.retain(|candidate| allowed.contains(candidate.id));
        }
        let best =
            candidates.iter().min_by(|a, b| a.order(b)).ok_or(SamplerError::NothingAllowed)?;
        if self.sampling.temperature <= 0.0 {
            return Ok(best.id);
        }
        self.keep_probable(&mut candidates);
        let mut weights = self.exps(&candidates, self.sampling.temperature);
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let mut drawn = self.uniform() * sum;
        let below = |weight: &mut f32| {
            drawn -= f64::from(*weight);
            drawn < 0.0
        };
        let chosen = weights.iter_mut().position(below).unwrap_or(candidates.len() - 1);
        Ok(candidates[chosen].id)
    }

    fn penalize(&self, candidates: &mut [Candidate], history: &[u32]) {
        for &(id, bias) in &self.sampling.logit_bias {
            if let Some(Candidate { logit, .. }) = candidates.get_mut(id as usize) {
                *logit += bias;
            }
        }
        let penalty = self.sampling.repeat_penalty;
        let recent = history.len().saturating_sub(self.sampling.repeat_last_n);
        let mut recent = history[recent..].to_vec();
        recent.sort_unstable();
        recent.dedup();
        for id in recent {
            if let Some(Candidate { logit, .. }) = candidates.get_mut(id as usize) {
                *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
            }
        }
        let Sampling { presence_penalty, frequency_penalty, .. } = self.sampling;
        if presence_penalty != 0.0 || frequency_penalty != 0.0 {
            for (&id, &n_times) in &self.counts {
                candidates[id as usize].logit -=
                    presence_penalty + frequency_penalty * n_times as f32;
            }
        }
    }

    /// Sorts the candidates, the most probable first, and drops those that top-k, top-p and min-p
    /// rule out. One always stays.
    fn keep_probable(&self, candidates: &mut Vec<Candidate>) {
        let Sampling { top_k, top_p, min_p, .. } = self.sampling;
        if (1..candidates.len()).contains(&top_k) {
            candidates.select_nth_unstable_by(top_k - 1, Candidate::order);
            candidates.truncate(top_k);
        }
        candidates.sort_unstable_by(Candidate::order);
        let weights = self.exps(candidates, 1.0);
        let sum: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
        let mut before = 0.0;
        let kept = weights.iter().take_while(|&&weight| {
            let keep = before < f64::from(top_p) * sum && weight >= min_p * weights[0];
            before += f64::from(weight);
            keep
        });
        candidates.truncate(kept.count().max(1));
    }

    /// `exp((logit - largest logit) / temperature)` of sorted candidates.
    fn exps(&self, candidates: &[Candidate], temperature: f32) -> Vec<f32> {
        let max = candidates[0].logit;
        let mut exps: Vec<f32> =
            candidates.iter().map(|candidate| (candidate.logit - max) / temperature).collect();
        self.isa.exp_sum(&mut exps, 0.0);
        exps
    }

    /// Uniform in [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 6] = [0.5, 2.0, -1.0, 2.0, 1.0, 0.0];

    fn sampler(sampling: Sampling) -> Sampler {
        Sampler::new(Isa::detect(), sampling)
    }

    fn draws(sampling: Sampling, n: usize) -> Vec<u32> {
        let mut sampler = sampler(sampling);
        (0..n).map(|_| sampler.choose(&LOGITS, &[]).unwrap()).collect()
    }

    #[test]
    fn greedy_takes_the_lower_of_equals() {
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        assert_eq!(draws(greedy, 3), [1, 1, 1]);
    }

    #[test]
    fn tokens_that_must_not_be_are_never_chosen() {
        let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
        let mut greedy = sampler(greedy).without([1, 3].into());
        assert_eq!(greedy.choose(&LOGITS, &[]).unwrap(), 4);
        let mut drawing = sampler(Sampling::default()).without([1, 3].into());
        assert!((0..100).all(|_| ![1, 3].contains(&drawing.choose(&LOGITS, &[]).unwrap())));
    }

    #[test]
    fn only_what_is_allowed_is_chosen() {
        let allowed: TokenSet = [0, 2, 5, 99].into_iter().collect();
        // Top-k and min-p see nothing else, or nothing would be left of these.
        let drawing = Sampling { top_k: 2, min_p: 0.2, temperature: 5.0, ..Sampling::default() };
        let biased = Sampling { logit_bias: vec![(1, 100.0)], ..drawing.clone() };
        for sampling in [drawing, biased] {
            let mut sampler = sampler(sampling);
            let mut choose = || sampler.choose_among(Some(&allowed), &LOGITS, &[]).unwrap();
            let mut drawn: Vec<u32> = (0..200).map(|_| choose()).collect();
            drawn.sort_unstable();
            drawn.dedup();
            assert_eq!(drawn, [0, 5]);
        }
        let greedy = Sampling { temperature: 0.0, repeat_penalty: 9.0, ..Sampling::default() };
        let mut greedy = sampler(greedy);
        assert_eq!(greedy.choose_among(Some(&allowed), &LOGITS, &[0]).unwrap(), 0);
        let none = greedy.choose_among(Some(&TokenSet::default()), &LOGITS, &[]);
        assert!(matches!(none, Err(SamplerError::NothingAllowed)));
    }

    #[test]
    fn repeat_penalty_pushes_recent_tokens_down() {
        let greedy = Sampling { temperature: 0.0, repeat_penalty: 1.5, ..Sampling::default() };
        let mut sampler = sampler(greedy);
        assert_eq!(sampler.choose(&LOGITS, &[1]).unwrap(), 3);
        assert_eq!(sampler.choose(&[-1.0, -1.2], &[0]).unwrap(), 1);
    }

    #[test]
    fn presence_and_frequency_of_the_answer_s_tokens_push_them_down() {
        let greedy = |presence_penalty, frequency_penalty| {
            let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
            draws(Sampling { presence_penalty, frequency_penalty, ..greedy }, 6)
        };
        // Tokens by logit: 1 and 3 have 2, 4 has 1, 0 has 0.5, 5 has 0.
        assert_eq!(greedy(1.25, 0.0), [1, 3, 4, 1, 1, 1]);
        assert_eq!(greedy(0.0, 0.75), [1, 3, 1, 3, 4, 0]);
        assert_eq!(greedy(-0.5, 0.0), [1; 6]);
        // What the prompt has does not count.
        let sampling = Sampling { temperature: 0.0, presence_penalty: 2.0, ..Sampling::default() };
        assert_eq!(sampler(sampling).choose(&LOGITS, &[1, 1, 3]).unwrap(), 1);
    }

    #[test]
    fn bias_comes_before_all_else() {
        let biased = |logit_bias: &[(u32, f32)], temperature| {
            let logit_bias = logit_bias.to_vec();
            draws(Sampling { temperature, logit_bias, ..Sampling::default() }, 20)
        };
        assert_eq!(biased(&[(2, 3.5)], 0.0), [2; 20]);
        assert_eq!(biased(&[(5, 100.0)], 1.0), [5; 20]);
        let without = biased(&[(1, -100.0), (3, -100.0), (99, 7.0)], 1.0);
        assert!(without.iter().all(|id| ![1, 3].contains(id)), "{without:?}");
    }

    #[test]
    fn a_seed_fixes_the_draws() {
        let seeded = |seed| draws(Sampling { seed, ..Sampling::default() }, 40);
        assert_eq!(seeded(7), seeded(7));
        assert_ne!(seeded(7), seeded(8));
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let open =
            Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Sampling::default() };
        let draws = draws(open, 20_000);
        let sum: f32 = LOGITS.iter().map(|logit| logit.exp()).sum();
        for (id, logit) in LOGITS.iter().enumerate() {
            let share = draws.iter().filter(|&&drawn| drawn == id as u32).count() as f32 / 20_000.0;
            assert!((share - logit.exp() / sum).abs() < 0.015, "token {id}: {share}");
        }
    }

    #[test]
    fn filters_keep_only_the_probable() {
        let only = |sampling| {
            let mut ids = draws(sampling, 500);
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let open =
            Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, ..Sampling::default() };
        assert_eq!(only(Sampling { top_k: 2, ..open.clone() }), [1, 3]);
        assert_eq!(only(Sampling { top_p: 0.1, ..open.clone() }), [1]);
        assert_eq!(only(Sampling { min_p: 0.3, ..open.clone() }), [1, 3, 4]);
        assert_eq!(only(open), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn damaged_logits_are_an_error() {
        let mut sampler = sampler(Sampling::default());
        assert!(sampler.choose(&[0.0, f32::NAN], &[]).is_err());
        assert!(sampler.choose(&[f32::INFINITY, 0.0], &[]).is_err());
    }
}
