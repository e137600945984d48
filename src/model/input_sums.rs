//! Sums of squares of what a model's matrices are multiplied with: the stuff of importance matrices.
//!
//! A column whose inputs are large makes more of an error of its weights than others. The sums are
//! the same bits for any threads, instruction set, steps and order of texts: the squares of a block of
//! neighbouring tokens are added up in their order in 64 bits, and blocks as multiples of 2^-64, which
//! is exact.

use crate::architecture::Config;
use gatefold_quant::Activations;
use rayon::prelude::*;
use std::ops::Range;

/// Tokens whose squares are added up before they are rounded. Steps that begin at multiples of it in
/// every sequence leave no trace in the sums.
pub const SUM_BLOCK_LEN: usize = 64;

/// Columns that one task adds up.
const TASK_COLS: usize = 256;

/// What sums are multiples of, as a power of two.
const UNITS_PER_ONE: f64 = (1u128 << 64) as f64;

/// Sums of squares, column by column, of the rows that a matrix was multiplied with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Squares {
    /// Rows that were added up.
    pub n_rows: u64,
    /// The sums, `[cols]`, in units of 2^-64; [`u128::MAX`] where they are beyond all numbers.
    pub units: Vec<u128>,
}

/// What the matrices of a layer were multiplied with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInputs {
    /// Queries, keys and values, `[dim]`.
    pub attention: Squares,
    /// The output projection of attention, `[n_heads * head_dim]`.
    pub attention_output: Squares,
    /// The router, `[dim]`; no columns in a dense model.
    pub router: Squares,
    /// The experts, of which a dense model has one.
    pub experts: Vec<ExpertInputs>,
}

/// What the matrices of an expert were multiplied with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpertInputs {
    /// Gate and up, `[dim]`.
    pub gate_up: Squares,
    /// Down, `[hidden_dim]`.
    pub down: Squares,
}

/// What all matrices in a model's layers were multiplied with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputSums {
    /// Layer by layer.
    pub layers: Vec<LayerInputs>,
    /// The rows of the step under way, block by block.
    blocks: Vec<Range<usize>>,
}

/// A number in the units of [`Squares`], to the nearest.
pub fn to_units(number: f64) -> u128 {
    match number.is_finite() {
        true => (number * UNITS_PER_ONE).round_ties_even() as u128,
        false => u128::MAX,
    }
}

/// The number nearest to so many units.
pub fn of_units(units: u128) -> f64 {
    units as f64 / UNITS_PER_ONE
}

impl Squares {
    fn zeros(cols: usize) -> Squares {
        Squares { n_rows: 0, units: vec![0; cols] }
    }

    /// Adds rows of `x`: for each place of the blocks, the one that `row` says.
    fn add(
        &mut self,
        x: &Activations,
        blocks: &[Range<usize>],
        row: impl Fn(usize) -> usize + Sync,
    ) {
        self.n_rows += blocks.iter().map(|block| block.len() as u64).sum::<u64>();
        let tasks = self.units.par_chunks_mut(TASK_COLS).enumerate();
        tasks.for_each(|(task_idx, sums)| {
            let mut squares = [0.0; TASK_COLS];
            for block in blocks.iter().filter(|block| !block.is_empty()) {
                squares.fill(0.0);
                for place in block.clone() {
                    let values = &x.floats(row(place))[task_idx * TASK_COLS..][..sums.len()];
                    for (square, &value) in squares.iter_mut().zip(values) {
                        *square += f64::from(value) * f64::from(value);
                    }
                }
                for (sum, &square) in sums.iter_mut().zip(&squares) {
                    *sum = sum.saturating_add(to_units(square));
                }
            }
        });
    }
}

impl InputSums {
    /// Of nothing yet.
    pub fn new(config: &Config) -> InputSums {
        let Config { dim, hidden_dim, n_experts, .. } = *config;
        let expert =
            ExpertInputs { gate_up: Squares::zeros(dim), down: Squares::zeros(hidden_dim) };
        let layer = LayerInputs {
            attention: Squares::zeros(dim),
            attention_output: Squares::zeros(config.n_heads * config.head_dim),
            router: Squares::zeros(if n_experts > 0 { dim } else { 0 }),
            experts: vec![expert; n_experts.max(1)],
        };
        InputSums { layers: vec![layer; config.n_layers], blocks: Vec::new() }
    }

    /// Takes note of the chunks of a step, each by the position of its first token and its length.
    pub(super) fn begin_step(&mut self, chunks: impl Iterator<Item = (usize, usize)>) {
        self.blocks.clear();
        let mut row = 0;
        for (mut position, chunk_len) in chunks {
            let chunk_end = row + chunk_len;
            while row < chunk_end {
                let block_len = (chunk_end - row).min(SUM_BLOCK_LEN - position % SUM_BLOCK_LEN);
                self.blocks.push(row..row + block_len);
                (row, position) = (row + block_len, position + block_len);
            }
        }
    }

    /// Adds the rows that make queries, keys and values of a step.
    pub(super) fn add_attention(&mut self, layer_idx: usize, x: &Activations) {
        self.layers[layer_idx].attention.add(x, &self.blocks, |row| row);
    }

    /// Adds what a step attended to.
    pub(super) fn add_attended(&mut self, layer_idx: usize, x: &Activations) {
        self.layers[layer_idx].attention_output.add(x, &self.blocks, |row| row);
    }

    /// Adds the rows that the router and the experts of a layer see; `tokens` are those of each expert,
    /// ascending.
    pub(super) fn add_experts(&mut self, layer_idx: usize, x: &Activations, tokens: &[Vec<u32>]) {
        let layer = &mut self.layers[layer_idx];
        if !layer.router.units.is_empty() {
            layer.router.add(x, &self.blocks, |row| row);
        }
        for (expert, tokens) in layer.experts.iter_mut().zip(tokens) {
            let blocks = places(&self.blocks, tokens);
            expert.gate_up.add(x, &blocks, |place| tokens[place] as usize);
        }
    }

    /// Adds what an expert's down projection sees, a row for each of its `tokens`.
    pub(super) fn add_hidden(
        &mut self,
        (layer_idx, expert_idx): (usize, usize),
        x: &Activations,
        tokens: &[u32],
    ) {
        let blocks = places(&self.blocks, tokens);
        self.layers[layer_idx].experts[expert_idx].down.add(x, &blocks, |place| place);
    }
}

/// The places among an expert's tokens that lie in each block of rows.
fn places(blocks: &[Range<usize>], tokens: &[u32]) -> Vec<Range<usize>> {
    let place = |row: usize| tokens.partition_point(|&token| (token as usize) < row);
    blocks.iter().map(|block| place(block.start)..place(block.end)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_begin_at_multiples_in_every_sequence() {
        let mut sums = InputSums { layers: Vec::new(), blocks: Vec::new() };
        sums.begin_step([(0, 130), (64, 64), (100, 30)].into_iter());
        assert_eq!(sums.blocks, [0..64, 64..128, 128..130, 130..194, 194..222, 222..224]);
        assert_eq!(places(&sums.blocks, &[3, 63, 64, 193]), [0..2, 2..3, 3..3, 3..4, 4..4, 4..4]);
    }

    #[test]
    fn numbers_are_units_and_back() {
        for number in [0.0, 1.0, 0.1, 1e-9, 12345.678, 1e15] {
            let error = (of_units(to_units(number)) - number).abs();
            assert!(error <= 1e-12 * number + 1.0 / UNITS_PER_ONE, "{number}");
        }
        assert_eq!(to_units(f64::NAN), u128::MAX);
        assert_eq!(to_units(1e30), u128::MAX);
    }
}
