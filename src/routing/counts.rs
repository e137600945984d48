//! What is counted of the routers' choices while texts are read.

use super::kinds::{TokenKind, TokenKinds};
use super::reader::Window;
use super::table::Table;
use super::tokens::TokenCounts;
use crate::architecture::Config;
use crate::model::Routes;
use crate::tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

/// Parts into which a domain's documents are counted, to see how much documents differ: a document
/// each, or more where there are more of them.
pub(super) const N_BLOCKS: usize = 32;

/// Tokens of each domain that are kept with their experts, to be shown.
pub(super) const SAMPLE_LEN: usize = 320;

/// Weights are counted in parts of this size: sums of whole numbers are exact in any order.
pub(super) const WEIGHT_UNIT: f64 = 1.0 / (1 << 24) as f64;

/// The sizes on which the memory of [`Counts`] depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Layers.
    pub n_layers: usize,
    /// Experts of each.
    pub n_experts: usize,
    /// Experts that take each token.
    pub top_k: usize,
    /// Tokens of the vocabulary.
    pub n_vocab: usize,
    /// Domains of texts.
    pub n_domains: usize,
    /// Random routers beside each router.
    pub n_random: usize,
}

impl Shape {
    /// Of a model with experts, that reads texts of some domains.
    pub fn new(config: &Config, n_vocab: usize, n_domains: usize, n_random: usize) -> Shape {
        let Config { n_layers, n_experts, top_k, .. } = *config;
        Shape { n_layers, n_experts, top_k, n_vocab, n_domains, n_random }
    }
}

/// Counts of what routers chose. Their memory is bounded by the [`Shape`]: for Mixtral 8x7B and eight
/// domains some 50 MB, most of it for the tokens of the vocabulary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    pub(super) shape: Shape,
    /// Windows that were counted.
    pub(super) n_windows: Table<1>,
    /// Per domain and block: tokens.
    pub(super) block_tokens: Table<2>,
    /// Per domain: documents, tokens, neighbours, tokens in the sample, and the number behind that of the
    /// last document.
    pub(super) domains: Table<2>,
    /// Per kind of token: tokens.
    pub(super) kind_tokens: Table<1>,
    /// Per layer, domain and rank: tokens of each expert.
    pub(super) ranks: Table<4>,
    /// Per layer and domain: how often a neighbour has the same first choice, how often they share one
    /// of their choices, and the sum of the weights of first choices, in [`WEIGHT_UNIT`]s.
    pub(super) sums: Table<3>,
    /// Per layer: tokens that took both experts of a pair, `[n_experts, n_experts]`, the lower first.
    pub(super) pairs: Table<3>,
    /// Per layer and kind of token: tokens of each expert, as first choice and in all.
    pub(super) kinds: Table<4>,
    /// Per domain, block and layer: first choices.
    pub(super) blocks: Table<4>,
    /// Per layer, random router and domain: first choices.
    pub(super) random_domains: Table<4>,
    /// Per layer, random router and kind of token: first choices.
    pub(super) random_kinds: Table<4>,
    /// Per domain: the sample's tokens.
    pub(super) sample: Table<2>,
    /// Per domain: the documents that they are of, by their indices.
    pub(super) sample_documents: Table<2>,
    /// Per domain and token of the sample: the first choice of each layer.
    pub(super) sample_experts: Table<3>,
    pub(super) tokens: TokenCounts,
}

/// Columns of [`Counts::domains`].
pub(super) mod of_domain {
    pub const DOCUMENTS: usize = 0;
    pub const TOKENS: usize = 1;
    pub const NEIGHBOURS: usize = 2;
    pub const SAMPLE: usize = 3;
    pub const NEXT_IDX: usize = 4;
}

/// Columns of [`Counts::sums`].
pub(super) mod sum {
    pub const SAME_FIRST: usize = 0;
    pub const SHARED: usize = 1;
    pub const WEIGHT: usize = 2;
}

impl Counts {
    /// Of nothing yet.
    pub fn new(shape: Shape) -> Counts {
        let Shape { n_layers, n_experts, top_k, n_domains, n_random, .. } = shape;
        let n_kinds = TokenKind::ALL.len();
        Counts {
            shape,
            n_windows: Table::new([1]),
            block_tokens: Table::new([n_domains, N_BLOCKS]),
            domains: Table::new([n_domains, 5]),
            kind_tokens: Table::new([n_kinds]),
            ranks: Table::new([n_layers, n_domains, top_k, n_experts]),
            sums: Table::new([n_layers, n_domains, 3]),
            pairs: Table::new([n_layers, n_experts, n_experts]),
            kinds: Table::new([n_layers, n_kinds, 2, n_experts]),
            blocks: Table::new([n_domains, N_BLOCKS, n_layers, n_experts]),
            random_domains: Table::new([n_layers, n_random, n_domains, n_experts]),
            random_kinds: Table::new([n_layers, n_random, n_kinds, n_experts]),
            sample: Table::new([n_domains, SAMPLE_LEN]),
            sample_documents: Table::new([n_domains, SAMPLE_LEN]),
            sample_experts: Table::new([n_domains, SAMPLE_LEN, n_layers]),
            tokens: TokenCounts::new(&shape),
        }
    }

    /// The sizes.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Windows that were counted.
    pub fn n_windows(&self) -> u64 {
        self.n_windows[[0]]
    }

    /// Tokens that were counted.
    pub fn n_tokens(&self) -> u64 {
        self.kind_tokens.cells().iter().sum()
    }

    /// How many tokens each expert of each layer took, in whatever rank, `[n_layers][n_experts]`.
    pub fn expert_tokens(&self) -> Vec<Vec<u64>> {
        let Shape { n_layers, n_experts, .. } = self.shape;
        let layers = (0..n_layers).map(|layer| column_sums(self.ranks.with([layer]), n_experts));
        layers.collect()
    }

    /// Counts a window, by what the routers chose for its tokens.
    pub fn add(&mut self, window: &Window, routes: &Routes, tokenizer: &Tokenizer) {
        let domain = window.domain_idx;
        self.n_windows[[0]] += 1;
        // The windows of a document come one after the other.
        if self.domains[[domain, of_domain::NEXT_IDX]] != window.document_idx + 1 {
            self.domains[[domain, of_domain::NEXT_IDX]] = window.document_idx + 1;
            self.domains[[domain, of_domain::DOCUMENTS]] += 1;
        }
        let mut kinds = TokenKinds::new(tokenizer);
        for token_idx in 0..window.tokens.len() {
            let kind = kinds.next(window.tokens[token_idx]);
            if token_idx >= window.n_context {
                self.add_token(window, token_idx, kind, routes);
            }
        }
        self.tokens.add(window, routes);
    }

    fn add_token(&mut self, window: &Window, token_idx: usize, kind: TokenKind, routes: &Routes) {
        let Window { domain_idx: domain, document_idx, .. } = *window;
        let block = (document_idx % N_BLOCKS as u64) as usize;
        let kind = kind as usize;
        let has_neighbour = token_idx > window.n_context;
        self.kind_tokens[[kind]] += 1;
        self.block_tokens[[domain, block]] += 1;
        self.domains[[domain, of_domain::TOKENS]] += 1;
        self.domains[[domain, of_domain::NEIGHBOURS]] += u64::from(has_neighbour);
        let in_sample = self.place_in_sample(window, window.tokens[token_idx]);
        for layer in 0..self.shape.n_layers {
            let choices = routes.of(layer, token_idx);
            let first = choices[0].expert_idx;
            self.blocks[[domain, block, layer, first]] += 1;
            self.kinds[[layer, kind, 0, first]] += 1;
            let weight = f64::from(choices[0].weight) / WEIGHT_UNIT;
            self.sums[[layer, domain, sum::WEIGHT]] += weight.round() as u64;
            if let Some(place) = in_sample {
                self.sample_experts[[domain, place, layer]] = first as u64;
            }
            for (rank, choice) in choices.iter().enumerate() {
                let expert = choice.expert_idx;
                self.ranks[[layer, domain, rank, expert]] += 1;
                self.kinds[[layer, kind, 1, expert]] += 1;
                for other in &choices[..rank] {
                    let (a, b) = (expert.min(other.expert_idx), expert.max(other.expert_idx));
                    self.pairs[[layer, a, b]] += 1;
                }
            }
            if has_neighbour {
                let before = routes.of(layer, token_idx - 1);
                let is_before =
                    |expert: usize| before.iter().any(|choice| choice.expert_idx == expert);
                let shared = choices.iter().any(|choice| is_before(choice.expert_idx));
                let same_first = before[0].expert_idx == first;
                self.sums[[layer, domain, sum::SAME_FIRST]] += u64::from(same_first);
                self.sums[[layer, domain, sum::SHARED]] += u64::from(shared);
            }
            for (router, &expert) in routes.random_of(layer, token_idx).iter().enumerate() {
                self.random_domains[[layer, router, domain, usize::from(expert)]] += 1;
                self.random_kinds[[layer, router, kind, usize::from(expert)]] += 1;
            }
        }
    }

    /// Where in its domain's sample a token of a window goes, if there is room.
    fn place_in_sample(&mut self, window: &Window, token: u32) -> Option<usize> {
        let domain = window.domain_idx;
        let place = self.domains[[domain, of_domain::SAMPLE]] as usize;
        (place < SAMPLE_LEN).then(|| {
            self.domains[[domain, of_domain::SAMPLE]] += 1;
            self.sample[[domain, place]] = u64::from(token);
            self.sample_documents[[domain, place]] = window.document_idx;
            place
        })
    }

    /// The tokens of a domain's sample.
    pub fn sample(&self, domain_idx: usize) -> Vec<u32> {
        let len = self.domains[[domain_idx, of_domain::SAMPLE]] as usize;
        self.sample.with([domain_idx])[..len].iter().map(|&token| token as u32).collect()
    }

    /// The domains that documents were counted of.
    pub fn counted_domains(&self) -> Vec<usize> {
        let is_counted = |&domain: &usize| self.domains[[domain, of_domain::DOCUMENTS]] > 0;
        (0..self.shape.n_domains).filter(is_counted).collect()
    }

    /// All counts but those of tokens, to be saved.
    pub(super) fn cells(&self) -> [&[u64]; 14] {
        [
            self.n_windows.cells(),
            self.block_tokens.cells(),
            self.domains.cells(),
            self.kind_tokens.cells(),
            self.ranks.cells(),
            self.sums.cells(),
            self.pairs.cells(),
            self.kinds.cells(),
            self.blocks.cells(),
            self.random_domains.cells(),
            self.random_kinds.cells(),
            self.sample.cells(),
            self.sample_documents.cells(),
            self.sample_experts.cells(),
        ]
    }

    /// The same, to be read back.
    pub(super) fn cells_mut(&mut self) -> [&mut [u64]; 14] {
        [
            self.n_windows.cells_mut(),
            self.block_tokens.cells_mut(),
            self.domains.cells_mut(),
            self.kind_tokens.cells_mut(),
            self.ranks.cells_mut(),
            self.sums.cells_mut(),
            self.pairs.cells_mut(),
            self.kinds.cells_mut(),
            self.blocks.cells_mut(),
            self.random_domains.cells_mut(),
            self.random_kinds.cells_mut(),
            self.sample.cells_mut(),
            self.sample_documents.cells_mut(),
            self.sample_experts.cells_mut(),
        ]
    }
}

/// Sums of rows of `n` counts that lie one after the other.
pub(super) fn column_sums(cells: &[u64], n: usize) -> Vec<u64> {
    let mut sums = vec![0; n];
    for row in cells.chunks_exact(n) {
        sums.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
    }
    sums
}
