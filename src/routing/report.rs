//! The figures of an analysis.

use super::counts::{Counts, N_BLOCKS, Shape, WEIGHT_UNIT, column_sums, of_domain, sum};
use super::information::{Block, Comparison, Information, shuffled};
use super::kinds::TokenKind;
use super::samples::Sample;
use super::shares::{Balance, Repetition, Shares, design_effect, part};
use super::tokens::SpecificToken;
use crate::tokenizer::Tokenizer;
use serde::Serialize;

/// Tokens that are named for each expert.
const N_SPECIFIC: usize = 8;

/// What was found. Lists over experts are in their order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Layers.
    pub n_layers: usize,
    /// Experts of each.
    pub n_experts: usize,
    /// Experts that take each token.
    pub top_k: usize,
    /// Tokens that were counted.
    pub n_tokens: u64,
    /// The domains of the texts, but for those of which no text was counted.
    pub domains: Vec<Domain>,
    /// The kinds of tokens.
    pub kinds: Vec<KindSize>,
    /// Random routers that saw the same hidden states beside each router.
    pub n_random_routers: usize,
    /// Repetition by chance, all experts alike.
    pub repetition_by_chance: Repetition,
    /// All layers together.
    pub overall: Overall,
    /// Layer by layer.
    pub layers: Vec<LayerReport>,
    /// The beginning of each domain's texts, with the first choices.
    pub samples: Vec<Sample>,
    /// Tokens that were not counted one by one for want of memory: of a large vocabulary those that
    /// came last.
    pub n_tokens_left_out: u64,
}

/// A domain of texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// Texts that were counted.
    pub n_documents: u64,
    /// Their tokens.
    pub n_tokens: u64,
}

/// How many tokens are of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct KindSize {
    /// The kind.
    pub kind: TokenKind,
    /// Tokens.
    pub n_tokens: u64,
}

/// Means over the layers, each beside what chance gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overall {
    /// Repetition.
    pub repetition: Repetition,
    /// Evenness of the load.
    pub evenness: f64,
    /// Weight of the first choice.
    pub first_weight: f64,
    /// What the first choice tells of the domain; none for a single one.
    pub domain: Option<Information>,
    /// What it tells of the token's kind.
    pub kind: Information,
}

/// A layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// Its index.
    pub layer: usize,
    /// All texts.
    pub all: OfDomain,
    /// Each domain's.
    pub domains: Vec<OfDomain>,
    /// Each kind of token.
    pub kinds: Vec<OfKind>,
    /// How even the load is, over all ranks.
    pub balance: Balance,
    /// Repetition where every token chooses independently, as loaded as the experts are: the first
    /// choice, and, for one or two experts a token, either.
    pub repetition_by_load: (f64, Option<f64>),
    /// The share of tokens that take both experts of a pair, `[n_experts][n_experts]`, 0 on the
    /// diagonal.
    pub pairs: Vec<Vec<f64>>,
    /// What the first choice tells of the domain; none for a single one.
    pub domain_information: Option<Information>,
    /// What it tells of the token's kind.
    pub kind_information: Information,
    /// What it tells of the token itself.
    pub token_information: Information,
    /// For each expert, the tokens that it is most specific for.
    pub specific_tokens: Vec<Vec<SpecificToken>>,
}

/// A layer's routing of texts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfDomain {
    /// Shares of tokens by rank, the first choice first.
    pub ranks: Vec<Shares>,
    /// Shares of all choices together.
    pub either: Shares,
    /// Repetition.
    pub repetition: Repetition,
    /// Mean weight of the first choice.
    pub first_weight: f64,
    /// How many tokens are worth an independent one, since those of a document depend on each other;
    /// none for fewer than three documents, where shares have no intervals.
    pub design_effect: Option<f64>,
}

/// A layer's routing of a kind of token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfKind {
    /// Shares of first choices.
    pub first: Vec<f64>,
    /// Shares of all choices.
    pub either: Vec<f64>,
}

impl Report {
    /// Of what was counted over domains of these names.
    pub fn new(counts: &Counts, names: &[String], tokenizer: &Tokenizer) -> Report {
        let Shape { n_layers, n_experts, top_k, n_random, .. } = counts.shape;
        let domain_ids = counts.counted_domains();
        let mut layers: Vec<LayerReport> = (0..n_layers)
            .map(|layer| layer_report(counts, layer, &domain_ids, tokenizer))
            .collect();
        let (domain, kind) = compare_with_chance(counts, &domain_ids, &mut layers);
        let mean = |figure: &dyn Fn(&LayerReport) -> f64| mean(layers.iter().map(figure));
        let overall = Overall {
            repetition: Repetition {
                first: mean(&|layer| layer.all.repetition.first),
                either: mean(&|layer| layer.all.repetition.either),
            },
            evenness: mean(&|layer| layer.balance.evenness),
            first_weight: mean(&|layer| layer.all.first_weight),
            domain: (domain_ids.len() > 1).then_some(domain),
            kind,
        };
        let domains = domain_ids.iter().map(|&idx| Domain {
            name: names[idx].clone(),
            n_documents: counts.domains[[idx, of_domain::DOCUMENTS]],
            n_tokens: counts.domains[[idx, of_domain::TOKENS]],
        });
        let kinds = TokenKind::ALL.into_iter().zip(counts.kind_tokens.cells());
        Report {
            n_layers,
            n_experts,
            top_k,
            n_tokens: counts.n_tokens(),
            domains: domains.collect(),
            kinds: kinds.map(|(kind, &n_tokens)| KindSize { kind, n_tokens }).collect(),
            n_random_routers: n_random,
            repetition_by_chance: Repetition::by_chance(n_experts, top_k),
            overall,
            layers,
            samples: domain_ids
                .iter()
                .map(|&domain| Sample::new(counts, domain, tokenizer))
                .collect(),
            n_tokens_left_out: counts.tokens.n_left_out(),
        }
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    part(values.sum(), n)
}

fn layer_report(
    counts: &Counts,
    layer: usize,
    domain_ids: &[usize],
    tokenizer: &Tokenizer,
) -> LayerReport {
    let Shape { n_experts, top_k, .. } = counts.shape;
    let first = rank_sums(counts, layer, domain_ids, 0);
    let load = column_sums(counts.ranks.with([layer]), n_experts);
    let pairs = counts.pairs.with([layer]);
    let n_tokens: u64 = first.iter().sum();
    let pair =
        |a: usize, b: usize| part(pairs[a.min(b) * n_experts + a.max(b)] as f64, n_tokens as f64);
    let kinds = (0..TokenKind::ALL.len()).map(|kind| {
        let shares = |which| {
            let counts = counts.kinds.with([layer, kind, which]);
            let sum = counts.iter().sum::<u64>() as f64;
            counts.iter().map(|&count| part(count as f64, sum)).collect()
        };
        OfKind { first: shares(0), either: shares(1) }
    });
    let domain_rows = domain_ids.iter().map(|&domain| counts.ranks.with([layer, domain, 0]));
    let kind_rows = (0..TokenKind::ALL.len()).map(|kind| counts.kinds.with([layer, kind, 0]));
    let token_rows: Vec<Vec<u64>> =
        counts.tokens.layer(layer).map(|row| row.iter().map(|&n| n.into()).collect()).collect();
    let specific = (0..n_experts).map(|expert| {
        let base = part(first[expert] as f64, n_tokens as f64);
        counts.tokens.specific((layer, expert), base, N_SPECIFIC, tokenizer)
    });
    LayerReport {
        layer,
        all: of_domains(counts, layer, domain_ids),
        domains: domain_ids.iter().map(|it| of_domains(counts, layer, &[*it])).collect(),
        kinds: kinds.collect(),
        balance: Balance::new(&load),
        repetition_by_load: Repetition::by_load(&first, pairs, top_k),
        pairs: (0..n_experts).map(|a| (0..n_experts).map(|b| pair(a, b)).collect()).collect(),
        domain_information: (domain_ids.len() > 1).then(|| Information::new(domain_rows)),
        kind_information: Information::new(kind_rows),
        token_information: Information::new(token_rows.iter().map(Vec::as_slice)),
        specific_tokens: specific.collect(),
    }
}

/// Choices of a rank in some domains.
fn rank_sums(counts: &Counts, layer: usize, domain_ids: &[usize], rank: usize) -> Vec<u64> {
    let rows = domain_ids.iter().flat_map(|&domain| counts.ranks.with([layer, domain, rank]));
    column_sums(&rows.copied().collect::<Vec<_>>(), counts.shape.n_experts)
}

fn of_domains(counts: &Counts, layer: usize, domain_ids: &[usize]) -> OfDomain {
    let Shape { n_experts, top_k, .. } = counts.shape;
    let domains = domain_ids.iter().copied();
    let blocks = domains.clone().flat_map(|domain| (0..N_BLOCKS).map(move |block| (domain, block)));
    let groups = blocks.map(|(domain, block)| counts.blocks.with([domain, block, layer]));
    let design_effect = design_effect(groups);
    let rank = |rank| rank_sums(counts, layer, domain_ids, rank);
    let all: Vec<u64> = (0..top_k).flat_map(rank).collect();
    let sum_of = |column: usize| -> f64 {
        domains.clone().map(|domain| counts.sums[[layer, domain, column]] as f64).sum()
    };
    let size = |column: usize| -> f64 {
        domains.clone().map(|domain| counts.domains[[domain, column]] as f64).sum()
    };
    let n_neighbours = size(of_domain::NEIGHBOURS);
    OfDomain {
        ranks: (0..top_k).map(|it| Shares::new(&rank(it), 1, design_effect)).collect(),
        either: Shares::new(&column_sums(&all, n_experts), top_k, design_effect),
        repetition: Repetition {
            first: part(sum_of(sum::SAME_FIRST), n_neighbours),
            either: part(sum_of(sum::SHARED), n_neighbours),
        },
        first_weight: part(sum_of(sum::WEIGHT) * WEIGHT_UNIT, size(of_domain::TOKENS)),
        design_effect,
    }
}

/// Puts beside each layer's information what chance gives, and returns the means over the layers.
fn compare_with_chance(
    counts: &Counts,
    domain_ids: &[usize],
    layers: &mut [LayerReport],
) -> (Information, Information) {
    let Shape { n_layers, n_random, .. } = counts.shape;
    let n_domains = domain_ids.len();
    let blocks = domain_ids.iter().enumerate().flat_map(|(place, &domain)| {
        let blocks = (0..N_BLOCKS).filter(move |&it| counts.block_tokens[[domain, it]] > 0);
        blocks.map(move |block| (place, counts.blocks.with([domain, block])))
    });
    let blocks: Vec<Block<'_>> = blocks.collect();
    let shuffled = shuffled(&blocks, n_domains, n_layers);
    let random_share = |rows: &dyn Fn(usize, usize, usize) -> Vec<u64>, n_rows: usize| {
        let of = |router: usize, layer: usize| {
            let rows: Vec<Vec<u64>> = (0..n_rows).map(|row| rows(layer, router, row)).collect();
            Information::new(rows.iter().map(Vec::as_slice)).share
        };
        let routers = (0..n_random).map(|router| (0..n_layers).map(|it| of(router, it)).collect());
        routers.collect::<Vec<Vec<f64>>>()
    };
    let by_domain = random_share(
        &|layer, router, place| {
            counts.random_domains.with([layer, router, domain_ids[place]]).to_vec()
        },
        n_domains,
    );
    let by_kind = random_share(
        &|layer, router, kind| counts.random_kinds.with([layer, router, kind]).to_vec(),
        TokenKind::ALL.len(),
    );
    let domain = compared(
        layers.iter_mut().filter_map(|layer| layer.domain_information.as_mut()),
        &shuffled,
        &by_domain,
    );
    let kinds = layers.iter_mut().map(|layer| &mut layer.kind_information);
    let kind = compared(kinds, &[], &by_kind);
    (domain, kind)
}

/// Compares every layer's information with the draws of chance, `[n_draws][n_layers]`, and their mean
/// with the draws' means.
fn compared<'a>(
    layers: impl Iterator<Item = &'a mut Information>,
    shuffled: &[Vec<f64>],
    random: &[Vec<f64>],
) -> Information {
    let mut of_layers = Vec::new();
    for (idx, layer) in layers.enumerate() {
        let of_layer =
            |draws: &[Vec<f64>]| draws.iter().map(|draw| draw[idx]).collect::<Vec<f64>>();
        layer.shuffled = Comparison::new(layer.bits, &of_layer(shuffled));
        layer.random = Comparison::new(layer.share, &of_layer(random));
        of_layers.push(*layer);
    }
    let over_layers = |figure: &dyn Fn(&Information) -> f64| mean(of_layers.iter().map(figure));
    let means = |draws: &[Vec<f64>]| -> Vec<f64> {
        draws.iter().map(|draw| mean(draw.iter().copied())).collect()
    };
    let (bits, share) = (over_layers(&|it| it.bits), over_layers(&|it| it.share));
    Information {
        bits,
        corrected_bits: over_layers(&|it| it.corrected_bits),
        corrected_share: over_layers(&|it| it.corrected_share),
        share,
        shuffled: Comparison::new(bits, &means(shuffled)),
        random: Comparison::new(share, &means(random)),
    }
}
