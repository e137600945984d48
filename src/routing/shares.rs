//! Shares of tokens and how certain they are, repetition, balance.

use serde::Serialize;

/// Shares of tokens over the experts of a layer, which sum to 1, each with its 95% interval. There is
/// none where it is not known how far documents differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shares {
    /// Per expert.
    pub share: Vec<f64>,
    /// The lower ends.
    pub low: Option<Vec<f64>>,
    /// The upper ends.
    pub high: Option<Vec<f64>>,
}

impl Shares {
    /// Of tokens per expert. Tokens of a document depend on each other: `design_effect` says how many
    /// of them are worth an independent one. Where a token takes `n_each` experts, shares are of all
    /// that are taken.
    pub fn new(counts: &[u64], n_each: usize, design_effect: Option<f64>) -> Shares {
        let sum = counts.iter().sum::<u64>() as f64;
        let n_tokens = sum / n_each as f64;
        let interval = |&count: &u64, design_effect| {
            let (low, high) = wilson(count as f64, n_tokens, design_effect);
            (low / n_each as f64, high / n_each as f64)
        };
        let ends = design_effect.map(|it| counts.iter().map(|count| interval(count, it)).unzip());
        let (low, high) = ends.unzip();
        Shares { share: counts.iter().map(|&count| part(count as f64, sum)).collect(), low, high }
    }
}

/// A part of a whole, 0 of nothing.
pub(super) fn part(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Wilson's 95% interval of a share: `k` of `n`, of which `design_effect` are worth one.
///
/// `(p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)`, with `z = 1.96` and `n` divided by
/// the design effect (E. B. Wilson, 1927).
pub(super) fn wilson(k: f64, n: f64, design_effect: f64) -> (f64, f64) {
    if n == 0.0 {
        return (0.0, 1.0);
    }
    let (p, n, z) = (k / n, n / design_effect, 1.959_963_984_540_054);
    let middle = p + z * z / (2.0 * n);
    let half = z * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    (((middle - half) / scale).max(0.0), ((middle + half) / scale).min(1.0))
}

/// How many tokens are worth an independent one: the variance of the experts' shares between groups
/// of documents, by what it would be if tokens were independent; at least 1. None for fewer than
/// three groups.
///
/// Groups are `counts` over the experts; the variance is that of a ratio of sums over clusters,
/// `G/(G-1) sum (x_g - p n_g)^2 / n^2` (Cochran, *Sampling Techniques*).
pub(super) fn design_effect<'a>(groups: impl Iterator<Item = &'a [u64]> + Clone) -> Option<f64> {
    let groups = groups.filter(|counts| counts.iter().any(|&count| count > 0));
    let n_groups = groups.clone().count() as f64;
    let n_experts = groups.clone().next()?.len();
    if n_groups < 3.0 {
        return None;
    }
    let size = |counts: &[u64]| counts.iter().sum::<u64>() as f64;
    let n: f64 = groups.clone().map(size).sum();
    let (mut between, mut independent) = (0.0, 0.0);
    for expert in 0..n_experts {
        let p = groups.clone().map(|counts| counts[expert] as f64).sum::<f64>() / n;
        let squares =
            groups.clone().map(|counts| (counts[expert] as f64 - p * size(counts)).powi(2));
        between += n_groups / (n_groups - 1.0) * squares.sum::<f64>() / (n * n);
        independent += p * (1.0 - p) / n;
    }
    Some(if independent > 0.0 { (between / independent).max(1.0) } else { 1.0 })
}

/// How often neighbours go to the same experts (table 5 of the paper).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Repetition {
    /// The share of neighbours with the same first choice.
    pub first: f64,
    /// The share of neighbours that have one of their choices in common.
    pub either: f64,
}

impl Repetition {
    /// What it is where every choice is drawn at random, all experts alike: `1 / n`, and
    /// `1 - C(n - k, k) / C(n, k)`: 12.5% and 46.4% for two of eight.
    pub fn by_chance(n_experts: usize, top_k: usize) -> Repetition {
        // Choosing k of those that are not among the neighbour's k, one after the other.
        let apart = (0..top_k)
            .map(|idx| n_experts.saturating_sub(top_k + idx) as f64 / (n_experts - idx) as f64);
        Repetition { first: 1.0 / n_experts as f64, either: 1.0 - apart.product::<f64>() }
    }

    /// What it is where every token draws its choices independently, with the experts as loaded as
    /// they are: `first` over the experts, and `pairs`, the tokens of each pair, the lower expert
    /// first, `[n_experts, n_experts]`. `either` is told for one or two experts a token alone.
    pub fn by_load(first: &[u64], pairs: &[u64], top_k: usize) -> (f64, Option<f64>) {
        let n = first.len();
        let sum = first.iter().sum::<u64>() as f64;
        let same: f64 = first.iter().map(|&count| part(count as f64, sum).powi(2)).sum();
        let either = match top_k {
            1 => Some(same),
            2 => {
                let q = |a: usize, b: usize| part(pairs[a * n + b] as f64, sum);
                let of: Vec<f64> = (0..n)
                    .map(|e| (0..e).map(|o| q(o, e)).chain((e..n).map(|o| q(e, o))).sum())
                    .collect();
                let apart = |a: usize, b: usize| q(a, b) * (1.0 - of[a] - of[b] + q(a, b));
                let cells = (0..n).flat_map(|a| (a + 1..n).map(move |b| (a, b)));
                Some(1.0 - cells.map(|(a, b)| apart(a, b)).sum::<f64>())
            }
            _ => None,
        };
        (same, either)
    }
}

/// How even the load of a layer's experts is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Balance {
    /// Entropy of the load, in bits.
    pub entropy_bits: f64,
    /// By that of an even load: 1 is even, 0 is all on one expert.
    pub evenness: f64,
    /// The largest share of the load.
    pub largest: f64,
    /// The smallest.
    pub smallest: f64,
}

impl Balance {
    /// Of tokens per expert.
    pub fn new(counts: &[u64]) -> Balance {
        let sum = counts.iter().sum::<u64>() as f64;
        let share = |&count: &u64| part(count as f64, sum);
        let entropy_bits = entropy(counts.iter().map(|&count| count as f64));
        let even = libm::log2(counts.len() as f64);
        Balance {
            entropy_bits,
            evenness: if even > 0.0 { entropy_bits / even } else { 1.0 },
            largest: counts.iter().map(share).fold(0.0, f64::max),
            smallest: counts.iter().map(share).fold(1.0, f64::min),
        }
    }
}

/// The entropy of counts, in bits: `-sum p log2 p`.
pub(super) fn entropy(counts: impl Iterator<Item = f64> + Clone) -> f64 {
    let sum: f64 = counts.clone().sum();
    let terms = counts.filter(|&count| count > 0.0).map(|count| {
        let p = count / sum;
        -p * libm::log2(p)
    });
    terms.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 5e-5
    }

    #[test]
    fn the_baselines_of_table_5() {
        let Repetition { first, either } = Repetition::by_chance(8, 2);
        assert!(close(first, 0.125) && close(either, 13.0 / 28.0), "{first} {either}");
        assert_eq!(Repetition::by_chance(8, 1).either, 0.125);
        assert_eq!(Repetition::by_chance(3, 2).either, 1.0);
    }

    #[test]
    fn an_even_load_repeats_as_chance_does() {
        let mut pairs = vec![0; 64];
        (0..8).for_each(|a| (a + 1..8).for_each(|b| pairs[a * 8 + b] = 2));
        let (first, either) = Repetition::by_load(&[7; 8], &pairs, 2);
        assert!(close(first, 0.125) && close(either.unwrap(), 13.0 / 28.0), "{either:?}");
        // All tokens take experts 0 and 1.
        let (first, either) = Repetition::by_load(&[5, 5, 0], &[0, 10, 0, 0, 0, 0, 0, 0, 0], 2);
        assert_eq!((first, either), (0.5, Some(1.0)));
    }

    /// R: `binom::binom.wilson(15, 50)`.
    #[test]
    fn wilson_by_hand() {
        let (low, high) = wilson(15.0, 50.0, 1.0);
        assert!(close(low, 0.191_00) && close(high, 0.437_52), "{low} {high}");
        let (wide_low, wide_high) = wilson(15.0, 50.0, 4.0);
        assert!(wide_low < low && wide_high > high);
        assert_eq!(wilson(0.0, 0.0, 1.0), (0.0, 1.0));
        assert_eq!(wilson(0.0, 10.0, 1.0).0, 0.0);
    }

    #[test]
    fn groups_that_differ_are_worth_less() {
        let even: Vec<[u64; 2]> = vec![[50, 50]; 10];
        assert_eq!(design_effect(even.iter().map(|it| &it[..])), Some(1.0));
        // Each group has one expert: a token of it says as much as all hundred.
        let apart: Vec<[u64; 2]> =
            (0..10).map(|idx| [100 * (idx % 2), 100 * (1 - idx % 2)]).collect();
        let effect = design_effect(apart.iter().map(|it| &it[..])).unwrap();
        assert!(close(effect, 100.0 * 10.0 / 9.0), "{effect}");
        assert_eq!(design_effect(apart[..2].iter().map(|it| &it[..])), None);
    }

    #[test]
    fn balance_by_hand() {
        let balance = Balance::new(&[2, 1, 1, 0]);
        assert_eq!((balance.entropy_bits, balance.evenness), (1.5, 0.75));
        assert_eq!((balance.largest, balance.smallest), (0.5, 0.0));
        let shares = Shares::new(&[6, 2], 2, Some(1.0));
        assert_eq!(shares.share, [0.75, 0.25]);
        assert!(shares.low.unwrap()[1] < 0.25 && shares.high.unwrap()[1] > 0.25);
        let unknown = Shares::new(&[6, 2], 2, None);
        assert_eq!((unknown.low, unknown.high), (None, None));
    }
}
