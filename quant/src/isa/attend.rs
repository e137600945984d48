//! Attention to a tile of the KV cache, from its three steps: scores (QK^T), the online-softmax
//! update, PV accumulation.

use super::Isa;
use crate::attention::{RunningSoftmax, TILE_LEN, Tile};

/// Queries that share the panels of a tile at most.
const BLOCK: usize = 64;

/// Queries of a single token, mostly: their scores should not take room in the cache for a block's.
const FEW: usize = 4;

impl Isa {
    /// Attends to a tile of the KV cache, all of it, with some queries, and merges the result into
    /// what they have seen before (online softmax). Scores are `scale * dot(query, key)`. `queries`
    /// and `out` are `[states.len(), head_dim]`; `out` has the values seen so far, weighted by the
    /// exponentials of their scores relative to the state's maximum, and becomes the attention when
    /// it is divided by the state's sum.
    ///
    /// # Panics
    /// If the lengths do not agree, or the tile has more than [`TILE_LEN`] positions.
    pub fn attend(
        self,
        queries: &[f32],
        scale: f32,
        mut tile: Tile<'_>,
        states: &mut [RunningSoftmax],
        out: &mut [f32],
    ) {
        assert!(!states.is_empty() && queries.len() == out.len(), "{} queries", states.len());
        let row_bytes = queries.len() / states.len() * tile.kind.bytes();
        assert!(queries.len().is_multiple_of(states.len()) && row_bytes > 0);
        assert_eq!(tile.keys.len(), tile.values.len());
        assert!(tile.keys.len().is_multiple_of(row_bytes));
        assert!(tile.keys.len() / row_bytes <= TILE_LEN, "{} bytes of keys", tile.keys.len());
        let head_dim = queries.len() / states.len();
        let outs = out.chunks_mut(BLOCK * head_dim).zip(states.chunks_mut(BLOCK));
        for (queries, (out, states)) in queries.chunks(BLOCK * head_dim).zip(outs) {
            match states.len() {
                ..=FEW => attend_block::<FEW>(self, queries, scale, tile, states, out),
                _ => attend_block::<BLOCK>(self, queries, scale, tile, states, out),
            }
            // The first block has prefetched it.
            tile.next = &[];
        }
    }
}

/// Takes a block of queries, at most `MAX`, through the tile. The steps are functions by themselves,
/// so that the many constants of one take no registers from the sums of another.
fn attend_block<const MAX: usize>(
    isa: Isa,
    queries: &[f32],
    scale: f32,
    tile: Tile<'_>,
    states: &mut [RunningSoftmax],
    out: &mut [f32],
) {
    let row_bytes = queries.len() / states.len() * tile.kind.bytes();
    let n_positions = tile.keys.len() / row_bytes;
    let mut scores = [[f32::NEG_INFINITY; TILE_LEN]; MAX];
    let mut factors = [[0.0; 2]; MAX];
    let (scores, factors) = (&mut scores[..states.len()], &mut factors[..states.len()]);
    isa.score(queries, scale, tile, scores);
    isa.softmax_update(n_positions, scores, states, factors);
    isa.accumulate_pv(tile, scores, factors, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::FloatKind;

    /// Attention over two tiles against the formula in f64.
    #[test]
    fn tiles_join_to_attention_over_all_positions() {
        let isa = Isa::SCALAR;
        let value = |i: usize| ((i * i) as f32 * 0.37).sin();
        // Miri is some thousand times slower.
        let n_shapes = if cfg!(miri) { 2 } else { 6 };
        let shapes = [(1, 1), (20, 3), (20, 70), (64, 7), (128, 4), (200, 2)];
        for (head_dim, n_queries) in shapes.into_iter().take(n_shapes) {
            let n_positions = TILE_LEN + 5;
            let keys: Vec<f32> = (0..n_positions * head_dim).map(value).collect();
            let values: Vec<f32> = keys.iter().map(|key| key * 3.0 - 1.0).collect();
            let queries: Vec<f32> = (0..n_queries * head_dim).map(|i| value(i + 7)).collect();
            let attend =
                |states: &mut [RunningSoftmax], out: &mut [f32], from: usize, to: usize| {
                    let range = from * head_dim..to * head_dim;
                    let tile = Tile {
                        kind: FloatKind::F32,
                        keys: bytemuck::cast_slice(&keys[range.clone()]),
                        values: bytemuck::cast_slice(&values[range]),
                        next: &[],
                    };
                    isa.attend(&queries, 0.7, tile, states, out);
                };
            let start = || (vec![RunningSoftmax::default(); n_queries], vec![0.0; queries.len()]);
            let (mut states, mut out) = start();
            attend(&mut states, &mut out, 0, TILE_LEN);
            attend(&mut states, &mut out, TILE_LEN, n_positions);
            let (mut merged_states, mut merged_out) = start();
            attend(&mut merged_states, &mut merged_out, 0, TILE_LEN);
            let (mut later_states, mut later_out) = start();
            attend(&mut later_states, &mut later_out, TILE_LEN, n_positions);
            isa.merge_attention(&mut merged_states, &mut merged_out, &later_states, &later_out);
            assert_eq!((&states, &out), (&merged_states, &merged_out));

            for (n, query) in queries.chunks_exact(head_dim).enumerate() {
                let weights = keys.chunks_exact(head_dim).map(|key| {
                    let products =
                        query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k));
                    (products.sum::<f64>() * f64::from(0.7f32)).exp()
                });
                let weights: Vec<f64> = weights.collect();
                for column in 0..head_dim {
                    let column_values = values.iter().skip(column).step_by(head_dim);
                    let weighted =
                        weights.iter().zip(column_values).map(|(w, v)| w * f64::from(*v));
                    let expected = weighted.sum::<f64>() / weights.iter().sum::<f64>();
                    let found = f64::from(out[n * head_dim + column] / states[n].sum);
                    assert!((expected - found).abs() < 1e-4, "{expected} or {found}, {head_dim}");
                }
            }
        }
    }

    #[test]
    fn a_score_that_is_no_number_shows() {
        let keys = [1.0f32, f32::NAN, 2.0];
        let tile = Tile {
            kind: FloatKind::F32,
            keys: bytemuck::cast_slice(&keys),
            values: bytemuck::cast_slice(&[1.0f32; 3]),
            next: &[],
        };
        for (n_positions, shows) in [(1, false), (2, true), (3, true)] {
            let (mut states, mut out) = ([RunningSoftmax::default()], [0.0]);
            let tile = tile.rows(0..n_positions, 1);
            Isa::SCALAR.attend(&[1.0], 1.0, tile, &mut states, &mut out);
            assert_eq!(out[0].is_nan(), shows);
            assert_eq!(states[0].sum.is_nan(), shows);
        }
    }
}
