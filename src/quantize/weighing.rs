//! How much the error of each weight counts, by an importance matrix.
//!
//! A weight `x` in a column of importance `m` counts `m * sqrt(s + x * x)`, with the mean `s` of the
//! squares in its block: what llama.cpp found best, within a factor of `s`. The root keeps large
//! weights, which texts of another kind may use otherwise, from paying for small ones.

use crate::imatrix::Importance;

/// The least that an error counts, beside the mean of its block: figures that differ more are beyond
/// the precision of the search.
const LEAST: f32 = 1.0 / 4096.0;

/// Fills `counts` with the importance of the columns of `n_weights` weights, the first of which is
/// number `weight_idx` of a tensor of matrices `[matrix_rows, n_cols]`.
pub fn columns(
    importance: &Importance,
    (matrix_rows, n_cols): (usize, usize),
    weight_idx: usize,
    n_weights: usize,
    counts: &mut Vec<f32>,
) {
    counts.clear();
    while counts.len() < n_weights {
        let at = weight_idx + counts.len();
        let of_row = importance.of_matrix(at / n_cols / matrix_rows);
        let rest = &of_row[at % n_cols..];
        counts.extend_from_slice(&rest[..rest.len().min(n_weights - counts.len())]);
    }
}

/// Makes of the importance of columns how much the error of each of these weights counts, block by
/// block, with a mean of about one. A block of which nothing is known, or that is beyond all numbers,
/// counts the same everywhere.
pub fn weigh(weights: &[f32], block_len: usize, counts: &mut [f32]) {
    for (weights, counts) in weights.chunks(block_len).zip(counts.chunks_mut(block_len)) {
        let squares: f32 = weights.iter().map(|weight| weight * weight).sum();
        let mean_square = squares / weights.len() as f32;
        for (count, weight) in counts.iter_mut().zip(weights) {
            *count *= (mean_square + weight * weight).sqrt();
        }
        let per_mean = counts.len() as f32 / counts.iter().sum::<f32>();
        match per_mean.is_finite() && per_mean > 0.0 {
            true => counts.iter_mut().for_each(|count| *count = (*count * per_mean).max(LEAST)),
            false => counts.fill(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_multiplied_with_more_counts_more() {
        let mut counts = [1.0, 4.0, 1.0, 1.0];
        weigh(&[1.0, 1.0, 1.0, 7.0_f32.sqrt()], 4, &mut counts);
        assert!((counts[1] / counts[0] - 4.0).abs() < 1e-6, "{counts:?}");
        let ratio = ((2.5f32 + 7.0) / (2.5 + 1.0)).sqrt();
        assert!((counts[3] / counts[0] - ratio).abs() < 1e-6, "{counts:?}");
        assert!((counts.iter().sum::<f32>() - 4.0).abs() < 1e-5, "{counts:?}");
    }

    #[test]
    fn blocks_without_figures_count_the_same_everywhere() {
        for (weight, importance) in [(0.0, 2.0), (1.0, 0.0), (1e30, 1.0), (1.0, f32::MAX)] {
            let mut counts = [importance; 4];
            weigh(&[weight; 4], 2, &mut counts);
            assert_eq!(counts, [1.0; 4], "{weight} {importance}");
        }
        let mut counts = [1.0, 0.0];
        weigh(&[1.0, 1.0], 2, &mut counts);
        assert!((counts[0] - 2.0).abs() < 1e-6 && counts[1] == LEAST, "{counts:?}");
    }
}
