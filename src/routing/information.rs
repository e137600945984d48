//! What the choice of an expert tells of something else, and what chance would.

use super::shares::{entropy, part};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::Serialize;

/// The mutual information of a layer's first choices and something else.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Information {
    /// `H(expert) + H(other) - H(expert, other)`, of the shares as they were counted, in bits.
    pub bits: f64,
    /// The same without the bias that few tokens bring, by Miller and Madow: each entropy is too small
    /// by `(cells - 1) / 2n` nats. For tokens that are independent; those of texts are less.
    pub corrected_bits: f64,
    /// `corrected_bits` by the entropy of the choices: of something with many values, such as the token
    /// itself, the better figure. It may be a little less than 0.
    pub corrected_share: f64,
    /// `bits` by the entropy of the choices: 1 where the other thing decides which expert it is.
    pub share: f64,
    /// What `bits` are where the documents are shuffled over the domains.
    pub shuffled: Option<Comparison>,
    /// What `share` is of random routers that see the same hidden states.
    pub random: Option<Comparison>,
}

/// A figure beside those that chance gives.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The mean of chance's figures.
    pub mean: f64,
    /// The largest of them.
    pub largest: f64,
    /// How probable a figure like the one found is by chance: `(1 + m) / (1 + n)`, where `m` of the
    /// `n` figures of chance are not smaller.
    pub p: f64,
    /// How probable one as small is: the same with those that are not larger.
    pub p_less: f64,
}

impl Information {
    /// Of counts over the experts, a row for each value of the other thing.
    pub fn new<'a>(rows: impl Iterator<Item = &'a [u64]> + Clone) -> Information {
        let cells = || rows.clone().flatten().map(|&count| count as f64);
        let row_sums: Vec<f64> = rows.clone().map(|row| row.iter().sum::<u64>() as f64).collect();
        let n_experts = rows.clone().next().map_or(0, <[u64]>::len);
        let mut sums = vec![0.0; n_experts];
        for row in rows.clone() {
            sums.iter_mut().zip(row).for_each(|(sum, &count)| *sum += count as f64);
        }
        let of_experts = entropy(sums.iter().copied());
        let of_rows = entropy(row_sums.iter().copied());
        // Rounding must not make it negative.
        let bits =
            (of_experts + of_rows - entropy(cells().collect::<Vec<_>>().into_iter())).max(0.0);
        let some =
            |counts: &mut dyn Iterator<Item = f64>| counts.filter(|&n| n > 0.0).count() as f64;
        let n_free = some(&mut cells())
            - some(&mut sums.iter().copied())
            - some(&mut row_sums.iter().copied())
            + 1.0;
        let n: f64 = row_sums.iter().sum();
        let bias = part(n_free, 2.0 * n * std::f64::consts::LN_2);
        Information {
            bits,
            corrected_bits: bits - bias,
            corrected_share: part(bits - bias, of_experts),
            share: part(bits, of_experts),
            shuffled: None,
            random: None,
        }
    }
}

impl Comparison {
    /// Of a figure and what chance gives; none without any.
    pub fn new(found: f64, by_chance: &[f64]) -> Option<Comparison> {
        let n = by_chance.len() as f64;
        // Equal ones may differ by rounding.
        let p_of = |is_as_far: &dyn Fn(f64) -> bool| {
            let n_as_far = by_chance.iter().filter(|&&figure| is_as_far(figure)).count() as f64;
            (1.0 + n_as_far) / (1.0 + n)
        };
        (n > 0.0).then(|| Comparison {
            mean: by_chance.iter().sum::<f64>() / n,
            largest: by_chance.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            p: p_of(&|figure| figure >= found - 1e-12),
            p_less: p_of(&|figure| figure <= found + 1e-12),
        })
    }
}

/// A part of a domain's documents: its domain, and its first choices, `[n_layers, n_experts]`.
pub(super) type Block<'a> = (usize, &'a [u64]);

/// How often documents are shuffled.
const N_SHUFFLES: usize = 199;

/// The bits of each layer where blocks are shuffled over the domains, `[n_shuffles][n_layers]`; none
/// where there is one domain, or no more blocks than domains.
pub(super) fn shuffled(blocks: &[Block<'_>], n_domains: usize, n_layers: usize) -> Vec<Vec<f64>> {
    if n_domains < 2 || blocks.len() <= n_domains {
        return Vec::new();
    }
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut domains: Vec<usize> = blocks.iter().map(|&(domain, _)| domain).collect();
    let shuffles = (0..N_SHUFFLES).map(|_| {
        shuffle(&mut domains, &mut random);
        let shuffled = domains.iter().zip(blocks).map(|(&domain, &(_, counts))| (domain, counts));
        bits(shuffled, n_domains, n_layers)
    });
    shuffles.collect()
}

/// The bits of each layer.
fn bits<'a>(
    blocks: impl Iterator<Item = Block<'a>>,
    n_domains: usize,
    n_layers: usize,
) -> Vec<f64> {
    let mut tables: Vec<Vec<u64>> = vec![Vec::new(); n_domains];
    for (domain, counts) in blocks {
        tables[domain].resize(counts.len(), 0);
        tables[domain].iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    let tables: Vec<&[u64]> =
        tables.iter().map(Vec::as_slice).filter(|it| !it.is_empty()).collect();
    let n_experts = tables.first().map_or(0, |table| table.len() / n_layers);
    let layer_bits = (0..n_layers).map(|layer| {
        let rows = tables.iter().map(move |table| &table[layer * n_experts..][..n_experts]);
        Information::new(rows).bits
    });
    layer_bits.collect()
}

/// Every order is as probable as any other (Fisher and Yates).
fn shuffle(items: &mut [usize], random: &mut ChaCha8Rng) {
    for last in (1..items.len()).rev() {
        // Blocks are few, so that the remainder's bias is nothing.
        items.swap(last, (random.next_u64() % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[[u64; 2]]) -> Information {
        Information::new(rows.iter().map(|row| &row[..]))
    }

    #[test]
    fn information_by_hand() {
        let certain = of(&[[8, 0], [0, 8]]);
        assert_eq!((certain.bits, certain.share), (1.0, 1.0));
        let nothing = of(&[[6, 2], [3, 1]]);
        assert!(nothing.bits < 1e-12, "{nothing:?}");
        // Four cells, two rows, two experts: one degree of freedom.
        let bias = 1.0 / (2.0 * 12.0 * 2f64.ln());
        assert!((nothing.bits - nothing.corrected_bits - bias).abs() < 1e-12);
        assert_eq!(of(&[[0, 0], [0, 0]]).share, 0.0);
        assert_eq!(
            of(&[[5, 0], [7, 0]]).share,
            0.0,
            "a choice that is always the same tells nothing"
        );
    }

    #[test]
    fn p_counts_the_found_figure_among_those_of_chance() {
        let by_chance: Vec<f64> = (1..=19).map(f64::from).collect();
        let p = |found| Comparison::new(found, &by_chance).unwrap().p;
        assert_eq!((p(20.0), p(19.0), p(0.5)), (0.05, 0.1, 1.0));
        let p_less = |found| Comparison::new(found, &by_chance).unwrap().p_less;
        assert_eq!((p_less(0.5), p_less(1.0), p_less(20.0)), (0.05, 0.1, 1.0));
        let same = Comparison::new(0.0, &[0.0; 19]).unwrap();
        assert_eq!((same.p, same.p_less), (1.0, 1.0), "equal figures tell nothing");
        assert_eq!(Comparison::new(1.0, &[]), None);
    }

    #[test]
    fn documents_that_differ_by_domain_stand_out_and_others_do_not() {
        let apart: Vec<Vec<u64>> = (0..20).map(|idx| vec![9 + idx % 2 * 20, 30]).collect();
        let p_of = |domain: &dyn Fn(usize) -> usize| {
            let blocks: Vec<Block<'_>> =
                apart.iter().enumerate().map(|(idx, counts)| (domain(idx), &counts[..])).collect();
            let found = bits(blocks.iter().copied(), 2, 1)[0];
            let draws = shuffled(&blocks, 2, 1).concat();
            assert_eq!(draws.len(), N_SHUFFLES);
            Comparison::new(found, &draws).unwrap().p
        };
        assert_eq!(p_of(&|idx| idx % 2), 1.0 / 200.0);
        assert!(p_of(&|idx| idx / 10) > 0.2);
        assert!(shuffled(&[(0, &[1, 2]), (1, &[2, 1])], 2, 1).is_empty());
    }
}
