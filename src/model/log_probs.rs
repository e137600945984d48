//! Logits as log probabilities.

/// A row of finite logits as log probabilities, in f64 and with `libm`'s functions: the same bits
/// on every machine.
pub(crate) struct LogProbs<'a> {
    logits: &'a [f32],
    /// `ln` of the sum of their exponentials.
    log_sum: f64,
}

impl<'a> LogProbs<'a> {
    /// Of logits, `[n_vocab]`.
    pub fn new(logits: &'a [f32]) -> LogProbs<'a> {
        let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum: f64 = logits.iter().map(|&logit| libm::exp(f64::from(logit) - max)).sum();
        LogProbs { logits, log_sum: libm::log(sum) + max }
    }

    /// The log probability of a token, in nats.
    pub fn of(&self, token: u32) -> f64 {
        f64::from(self.logits[token as usize]) - self.log_sum
    }

    /// The most probable token; of equal ones the first.
    pub fn top(&self) -> usize {
        let first_best = |best: usize, (token, &logit): (usize, &f32)| {
            if logit > self.logits[best] { token } else { best }
        };
        self.logits.iter().enumerate().fold(0, first_best)
    }

    /// The `n` most probable tokens, or as many as there are, with their log probabilities: the most
    /// probable first, of equal ones the one with the lower id.
    pub fn top_n(&self, n: usize) -> Vec<(u32, f64)> {
        let more_probable = |&a: &u32, &b: &u32| {
            let [logit_a, logit_b] = [a, b].map(|token| self.logits[token as usize]);
            logit_b.total_cmp(&logit_a).then(a.cmp(&b))
        };
        let mut tokens: Vec<u32> = (0..self.logits.len() as u32).collect();
        if (1..tokens.len()).contains(&n) {
            tokens.select_nth_unstable_by(n - 1, more_probable);
        }
        tokens.truncate(n);
        tokens.sort_unstable_by(more_probable);
        tokens.into_iter().map(|token| (token, self.of(token))).collect()
    }

    /// The Kullback-Leibler divergence of these predictions from those of `base`, in nats: the sum
    /// over the vocabulary of `p_base * (ln p_base - ln p)`.
    pub fn divergence_from(&self, base: &LogProbs<'_>) -> f64 {
        let terms = self.logits.iter().zip(base.logits).map(|(&logit, &base_logit)| {
            let (log_p, log_p_base) =
                (f64::from(logit) - self.log_sum, f64::from(base_logit) - base.log_sum);
            libm::exp(log_p_base) * (log_p_base - log_p)
        });
        // It is never negative, but the sum is rounded.
        terms.sum::<f64>().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::LogProbs;

    #[test]
    fn a_divergence_by_hand() {
        let logits = |probabilities: [f64; 3]| probabilities.map(|p| p.ln() as f32 + 5.0);
        let (base, model) = (logits([0.5, 0.25, 0.25]), logits([0.25, 0.25, 0.5]));
        let (base, model) = (LogProbs::new(&base), LogProbs::new(&model));
        assert!((base.of(0) - 0.5f64.ln()).abs() < 1e-6);
        // 0.5 ln 2 + 0 - 0.25 ln 2
        let expected = 0.25 * 2f64.ln();
        assert!((model.divergence_from(&base) - expected).abs() < 1e-6);
        assert_eq!(base.divergence_from(&base), 0.0);
        assert_eq!((base.top(), model.top()), (0, 2));
        assert_eq!(LogProbs::new(&[1.0, 2.0, 2.0]).top(), 1, "the first of equals");
    }

    #[test]
    fn the_most_probable_come_first() {
        let logits = [1.0, 2.0, -1.0, 2.0];
        let log_probs = LogProbs::new(&logits);
        let tokens = |n| log_probs.top_n(n).into_iter().map(|(token, _)| token).collect::<Vec<_>>();
        assert!(tokens(0).is_empty());
        assert_eq!(tokens(3), [1, 3, 0]);
        assert_eq!(tokens(9), [1, 3, 0, 2]);
        assert_eq!(log_probs.top_n(1)[0].1, log_probs.of(1));
    }
}
