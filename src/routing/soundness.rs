//! Whether counts agree with each other. Those of a file may be anything, and what is computed of them
//! must not overflow.

use super::counts::{Counts, SAMPLE_LEN, Shape, of_domain, sum};
use super::kinds::TokenKind;

/// More tokens than any run reads, and windows: what is added to so many does not overflow.
const MOST: u64 = 1 << 40;

/// More than the weights of so many first choices.
const MOST_WEIGHT: u64 = 1 << 63;

/// The sum of counts, if it is a number that a run comes to.
fn total(counts: &[u64]) -> Option<u64> {
    let sum = counts.iter().try_fold(0, |sum: u64, &count| sum.checked_add(count));
    sum.filter(|&sum| sum <= MOST)
}

impl Counts {
    /// Whether every table counts the same tokens, and names experts and tokens that there are.
    pub(super) fn is_sound(&self) -> bool {
        let Some(n_tokens) = total(self.kind_tokens.cells()) else { return false };
        self.are_domains_sound(n_tokens)
            && self.are_samples_sound()
            && (0..self.shape.n_layers).all(|layer| self.is_layer_sound(layer, n_tokens))
            && self.tokens.is_sound(self.shape.n_vocab, n_tokens)
    }

    fn are_domains_sound(&self, n_tokens: u64) -> bool {
        let n_domains = self.shape.n_domains;
        let column = |column: usize| -> Vec<u64> {
            (0..n_domains).map(|domain| self.domains[[domain, column]]).collect()
        };
        let is_one = |domain: usize| {
            let of = |column: usize| self.domains[[domain, column]];
            total(self.block_tokens.with([domain])) == Some(of(of_domain::TOKENS))
                && of(of_domain::NEIGHBOURS) <= of(of_domain::TOKENS)
                && of(of_domain::SAMPLE) == of(of_domain::TOKENS).min(SAMPLE_LEN as u64)
                && of(of_domain::NEXT_IDX) <= MOST
        };
        let n_documents = total(&column(of_domain::DOCUMENTS));
        total(&column(of_domain::TOKENS)) == Some(n_tokens)
            && self.n_windows() <= MOST
            && n_documents.is_some_and(|n_documents| n_documents <= self.n_windows())
            && (0..n_domains).all(is_one)
    }

    fn are_samples_sound(&self) -> bool {
        let Shape { n_experts, n_vocab, .. } = self.shape;
        self.sample.cells().iter().all(|&token| token < n_vocab as u64)
            && self.sample_experts.cells().iter().all(|&expert| expert < n_experts as u64)
    }

    fn is_layer_sound(&self, layer: usize, n_tokens: u64) -> bool {
        let Shape { top_k, n_domains, n_random, .. } = self.shape;
        let is_domain = |domain: usize| {
            let tokens = Some(self.domains[[domain, of_domain::TOKENS]]);
            let neighbours = self.domains[[domain, of_domain::NEIGHBOURS]];
            let blocks = self.block_tokens.with([domain]).iter().enumerate();
            (0..top_k).all(|rank| total(self.ranks.with([layer, domain, rank])) == tokens)
                && (0..n_random)
                    .all(|it| total(self.random_domains.with([layer, it, domain])) == tokens)
                && blocks.into_iter().all(|(block, &n_tokens)| {
                    total(self.blocks.with([domain, block, layer])) == Some(n_tokens)
                })
                && self.sums[[layer, domain, sum::SAME_FIRST]] <= neighbours
                && self.sums[[layer, domain, sum::SHARED]] <= neighbours
                && self.sums[[layer, domain, sum::WEIGHT]] <= MOST_WEIGHT
        };
        let is_kind = |kind: usize| {
            let tokens = self.kind_tokens[[kind]];
            total(self.kinds.with([layer, kind, 0])) == Some(tokens)
                && total(self.kinds.with([layer, kind, 1])) == Some(tokens * top_k as u64)
                && (0..n_random)
                    .all(|it| total(self.random_kinds.with([layer, it, kind])) == Some(tokens))
        };
        let n_pairs = (top_k * top_k.saturating_sub(1) / 2) as u64;
        (0..n_domains).all(is_domain)
            && (0..TokenKind::ALL.len()).all(is_kind)
            && total(self.pairs.with([layer])) == Some(n_tokens * n_pairs)
    }
}
