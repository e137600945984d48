//! Which tokens an expert is specific for.

use super::counts::Shape;
use super::reader::Window;
use super::shares::wilson;
use crate::model::Routes;
use crate::tokenizer::Tokenizer;
use serde::Serialize;

/// Bytes of counts of tokens. Mixtral's vocabulary takes half of it; of vocabularies and models that
/// take more, the tokens that come first are counted, which are the frequent ones.
const MAX_BYTES: usize = 64 << 20;

/// Places in which a token was seen that are kept as examples.
const N_EXAMPLES: usize = 3;

/// Tokens of an example before and behind the one that it is for.
const CONTEXT: usize = 6;

/// Tokens of an example.
const EXAMPLE_LEN: usize = 2 * CONTEXT + 1;

/// No token.
const NONE: u32 = u32::MAX;

/// How often an expert must have taken a token for it to say anything.
const MIN_CHOSEN: u32 = 5;

/// First choices token by token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenCounts {
    n_layers: usize,
    n_experts: usize,
    max_rows: usize,
    /// The row of each token of the vocabulary, or [`NONE`].
    row_of: Vec<u32>,
    /// The token of each row.
    ids: Vec<u32>,
    /// First choices, `[n_rows, n_layers, n_experts]`.
    counts: Vec<u32>,
    /// Tokens around places in which each was seen, `[n_rows, N_EXAMPLES, EXAMPLE_LEN]`.
    examples: Vec<u32>,
    /// First choices there, `[n_rows, N_EXAMPLES, n_layers]`.
    example_experts: Vec<u32>,
    /// Tokens that found no room.
    n_left_out: u64,
}

/// A token that an expert is specific for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpecificToken {
    /// The token.
    pub id: u32,
    /// Its text.
    pub text: String,
    /// How often it was seen.
    pub n_seen: u64,
    /// How often the expert was its first choice, by how often it was seen.
    pub share: f64,
    /// The lower end of the share's 95% interval, by which tokens are ranked.
    pub low: f64,
    /// Where it went to the expert, if one of its first places was such a one.
    pub example: Option<Example>,
}

/// A token in its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// What comes before it.
    pub before: String,
    /// The token's text.
    pub token: String,
    /// What comes behind it.
    pub after: String,
}

impl TokenCounts {
    pub fn new(shape: &Shape) -> TokenCounts {
        let Shape { n_layers, n_experts, n_vocab, .. } = *shape;
        let row_bytes = size_of::<u32>() * n_layers * n_experts;
        let (ids, counts, examples, example_experts) = Default::default();
        TokenCounts {
            n_layers,
            n_experts,
            max_rows: MAX_BYTES / row_bytes.max(1),
            row_of: vec![NONE; n_vocab],
            ids,
            counts,
            examples,
            example_experts,
            n_left_out: 0,
        }
    }

    pub fn add(&mut self, window: &Window, routes: &Routes) {
        for token_idx in window.n_context..window.tokens.len() {
            let Some(row) = self.row(window.tokens[token_idx]) else {
                self.n_left_out += 1;
                continue;
            };
            let firsts = (0..self.n_layers).map(|layer| routes.of(layer, token_idx)[0].expert_idx);
            let row_len = self.n_layers * self.n_experts;
            let experts = self.counts[row * row_len..][..row_len].chunks_exact_mut(self.n_experts);
            for (experts, first) in experts.zip(firsts.clone()) {
                experts[first] = experts[first].saturating_add(1);
            }
            let places = self.examples[row * N_EXAMPLES * EXAMPLE_LEN..].chunks_exact(EXAMPLE_LEN);
            let free = places.take(N_EXAMPLES).position(|example| example[CONTEXT] == NONE);
            if let Some(place) = free {
                let place = row * N_EXAMPLES + place;
                let example = &mut self.examples[place * EXAMPLE_LEN..][..EXAMPLE_LEN];
                for (idx, slot) in (token_idx..).zip(example) {
                    let there = idx.checked_sub(CONTEXT).filter(|&at| at >= window.n_context);
                    *slot = there.and_then(|at| window.tokens.get(at)).copied().unwrap_or(NONE);
                }
                let experts = &mut self.example_experts[place * self.n_layers..][..self.n_layers];
                experts.iter_mut().zip(firsts).for_each(|(slot, first)| *slot = first as u32);
            }
        }
    }

    /// The row of a token, which is made if there is room for it.
    fn row(&mut self, id: u32) -> Option<usize> {
        let row = self.row_of.get(id as usize).copied()?;
        if row != NONE {
            return Some(row as usize);
        }
        let row = self.ids.len();
        (row < self.max_rows).then(|| {
            self.row_of[id as usize] = row as u32;
            self.ids.push(id);
            self.resize();
            row
        })
    }

    /// Makes room for the rows that `ids` has.
    fn resize(&mut self) {
        let n_rows = self.ids.len();
        self.counts.resize(n_rows * self.n_layers * self.n_experts, 0);
        self.examples.resize(n_rows * N_EXAMPLES * EXAMPLE_LEN, NONE);
        self.example_experts.resize(n_rows * N_EXAMPLES * self.n_layers, NONE);
    }

    /// First choices of a layer, token by token, `[n_rows][n_experts]`.
    pub fn layer(&self, layer: usize) -> impl Iterator<Item = &[u32]> + Clone {
        let rows = self.counts.chunks_exact(self.n_layers * self.n_experts);
        rows.map(move |row| &row[layer * self.n_experts..][..self.n_experts])
    }

    /// Tokens that found no room.
    pub fn n_left_out(&self) -> u64 {
        self.n_left_out
    }

    /// The `n` tokens that an expert of a layer is most specific for: of those that go to it more
    /// often than tokens do altogether, with the share `base`, the ones with the largest share for
    /// certain, by the lower end of its interval. They are ranked and not tested: of many tokens some
    /// stand out by chance.
    pub fn specific(
        &self,
        (layer, expert): (usize, usize),
        base: f64,
        n: usize,
        tokenizer: &Tokenizer,
    ) -> Vec<SpecificToken> {
        let rows = self.layer(layer).enumerate().filter_map(|(row, experts)| {
            let n_seen: u64 = experts.iter().map(|&n| u64::from(n)).sum();
            let (low, _) = wilson(f64::from(experts[expert]), n_seen as f64, 1.0);
            let is_specific = experts[expert] >= MIN_CHOSEN && low > base;
            is_specific.then_some((low, row, experts[expert], n_seen))
        });
        let mut rows: Vec<_> = rows.collect();
        rows.sort_by(|a, b| b.0.total_cmp(&a.0).then(self.ids[a.1].cmp(&self.ids[b.1])));
        rows.truncate(n);
        let specific = rows.into_iter().map(|(low, row, n_chosen, n_seen)| SpecificToken {
            id: self.ids[row],
            text: text(tokenizer, &[self.ids[row]]),
            n_seen,
            share: f64::from(n_chosen) / n_seen as f64,
            low,
            example: self.example(row, layer, expert, tokenizer),
        });
        specific.collect()
    }

    fn example(
        &self,
        row: usize,
        layer: usize,
        expert: usize,
        tokenizer: &Tokenizer,
    ) -> Option<Example> {
        let place = (row * N_EXAMPLES..(row + 1) * N_EXAMPLES)
            .find(|place| self.example_experts[place * self.n_layers + layer] == expert as u32)?;
        let example = &self.examples[place * EXAMPLE_LEN..][..EXAMPLE_LEN];
        let part = |ids: &[u32]| {
            let ids: Vec<u32> = ids.iter().copied().filter(|&id| id != NONE).collect();
            text(tokenizer, &ids)
        };
        Some(Example {
            before: part(&example[..CONTEXT]),
            token: part(&example[CONTEXT..=CONTEXT]),
            after: part(&example[CONTEXT + 1..]),
        })
    }

    /// Everything, to be saved.
    pub fn cells(&self) -> [&[u32]; 4] {
        [&self.ids, &self.counts, &self.examples, &self.example_experts]
    }

    /// Makes room for the rows of these tokens, to be read back; none of it if they are none of ours.
    pub fn with_rows(&mut self, ids: Vec<u32>, n_left_out: u64) -> Option<[&mut [u32]; 3]> {
        for (row, &id) in ids.iter().enumerate() {
            let place = self.row_of.get_mut(id as usize).filter(|place| **place == NONE)?;
            *place = row as u32;
        }
        self.ids = ids;
        self.n_left_out = n_left_out;
        self.resize();
        Some([&mut self.counts, &mut self.examples, &mut self.example_experts])
    }

    /// Whether tokens were seen no more often than `n_tokens` in all, and examples have tokens of the
    /// vocabulary.
    pub fn is_sound(&self, n_vocab: usize, n_tokens: u64) -> bool {
        let is_layer = |layer: usize| {
            let n_seen: u128 = self.layer(layer).flatten().map(|&n| u128::from(n)).sum();
            n_seen + u128::from(self.n_left_out) <= n_tokens.into()
        };
        let is_token = |&id: &u32| id == NONE || (id as usize) < n_vocab;
        (0..self.n_layers).all(is_layer) && self.examples.iter().all(is_token)
    }

    /// Most rows.
    pub fn max_rows(&self) -> usize {
        self.max_rows.min(self.row_of.len())
    }
}

/// The text of tokens inside of a text, with U+FFFD for parts of characters.
fn text(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let bytes: Vec<u8> = ids.iter().flat_map(|&id| tokenizer.bytes(id)).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
