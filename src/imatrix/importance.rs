//! What quantizers make of an importance matrix: weights for the errors of a tensor's columns.

use super::{Entry, Imatrix, Problem};
use crate::model::of_units;

/// Tokens' worth of the mean over all experts of a tensor that is mixed into each expert's own mean.
///
/// With the sum `s` over the `n` tokens that an expert saw, and the mean `m` over all tokens of all
/// experts, a column's weight is `(s + 32 m) / (n + 32)`: an expert that saw nothing has the weights
/// of its layer, and one that saw thousands its own. A tensor that is a single matrix has its mean.
pub const PRIOR_TOKENS: u64 = 32;

/// Tokens from which on an expert's own figures can be relied upon.
pub const ENOUGH_TOKENS: u64 = 256;

/// Weights for the errors of a tensor, `[n_matrices, cols]`: means of squared inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct Importance {
    cols: usize,
    values: Vec<f32>,
}

/// An expert that saw few tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thin {
    /// The tensor.
    pub entry: String,
    /// Which of its experts.
    pub expert_idx: usize,
    /// Tokens that it saw.
    pub n_tokens: u64,
}

impl Importance {
    /// The weights of a matrix, `[cols]`.
    pub fn of_matrix(&self, matrix_idx: usize) -> &[f32] {
        &self.values[matrix_idx * self.cols..][..self.cols]
    }

    /// How many matrices there are.
    pub fn n_matrices(&self) -> usize {
        self.values.len() / self.cols
    }
}

/// The groups of tensors that see the same inputs: what one of them lacks another may have.
const SAME_INPUTS: [&[&str]; 3] =
    [&["attn_q", "attn_k", "attn_v"], &["ffn_gate", "ffn_up"], &["ffn_gate_exps", "ffn_up_exps"]];

impl Imatrix {
    /// The weights for a tensor of so many matrices; none where nothing is known of it.
    ///
    /// # Errors
    /// If the sums are of a tensor of another shape.
    pub fn importance(
        &self,
        name: &str,
        n_matrices: usize,
        cols: usize,
    ) -> Result<Option<Importance>, Problem> {
        let Some(entry) = self.entry(name).or_else(|| self.entry_like(name)) else {
            return Ok(None);
        };
        let n_values = entry.units.len();
        let shape = || Problem::Shape { entry: name.into(), n_values, n_matrices, cols };
        let n_known = n_values.checked_div(cols).ok_or_else(shape)?;
        // Experts behind the last that saw something may be missing.
        let is_short = entry.counts.len() == n_known && n_known < n_matrices;
        if n_values != n_known * cols || (n_known != n_matrices && !is_short) {
            return Err(shape());
        }
        let counts = match entry.counts.len() {
            n if n == n_known => entry.counts.clone(),
            1 => counts(entry, cols),
            _ => return Err(shape()),
        };
        let n_tokens = counts.iter().fold(0u64, |all, count| all.saturating_add(*count));
        if n_tokens == 0 {
            return Ok(None);
        }
        let mut mean = vec![0.0; cols];
        for (sums, _) in entry.units.chunks(cols).zip(&counts).filter(|(_, count)| **count > 0) {
            for (mean, &sum) in mean.iter_mut().zip(sums) {
                *mean += of_units(sum) / n_tokens as f64;
            }
        }
        let values = (0..n_matrices).flat_map(|matrix_idx| {
            let count = counts.get(matrix_idx).copied().unwrap_or(0);
            let prior = if n_matrices > 1 { PRIOR_TOKENS as f64 } else { 0.0 };
            let sums = entry.units.get(matrix_idx * cols..).filter(|_| count > 0);
            mean.iter().enumerate().map(move |(col, mean)| {
                let own = sums.map_or(0.0, |sums| of_units(sums[col]));
                ((own + prior * mean) / (count as f64 + prior)) as f32
            })
        });
        Ok(Some(Importance { cols, values: values.collect() }))
    }

    /// The sums of a tensor that sees the same inputs as this one.
    fn entry_like(&self, name: &str) -> Option<&Entry> {
        let group = |part: &&str| SAME_INPUTS.iter().find(|group| group.contains(part));
        let (before, part) = name.strip_suffix(".weight")?.rsplit_once('.')?;
        let others = group(&part)?.iter();
        others.filter_map(|other| self.entry(&format!("{before}.{other}.weight"))).next()
    }

    /// The experts that saw fewer than [`ENOUGH_TOKENS`], where files tell.
    pub fn thin(&self) -> Vec<Thin> {
        let thin = self.entries().filter(|(_, entry)| entry.counts.len() > 1);
        let thin = thin.flat_map(|(name, entry)| {
            let counts = entry.counts.iter().copied().enumerate();
            counts.filter(|(_, n)| *n < ENOUGH_TOKENS).map(move |(expert_idx, n_tokens)| Thin {
                entry: name.into(),
                expert_idx,
                n_tokens,
            })
        });
        thin.collect()
    }
}

/// The counts of a tensor's matrices where the file has one for all: none for those whose sums are
/// all alike, which is how files say that a matrix saw nothing.
fn counts(entry: &Entry, cols: usize) -> Vec<u64> {
    let is_known = |sums: &[u128]| cols == 1 || sums.iter().any(|sum| *sum != sums[0]);
    let matrices = entry.units.chunks(cols);
    matrices.map(|sums| if is_known(sums) { entry.counts[0] } else { 0 }).collect()
}
