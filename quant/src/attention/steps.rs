//! The steps of attention to a tile: scores (QK^T), the online-softmax update, PV accumulation.

use super::{Rescale, RunningSoftmax, Scores, Tile, merge_softmax};
use crate::format::FloatKind;
use crate::vector::{Lanes, N_LANES, dot_floats, exp, load_zero_filled, zero_filled};
use std::ops::Range;

/// Keys of a panel.
const PANEL_KEYS: usize = 4;

/// Columns of a panel of values.
const PANEL_COLUMNS: usize = 4 * N_LANES;

/// Runs a body for each group of a block: `first` is its first query, `LEN`, a constant, their
/// number. A macro, since a closure would not inherit the target features that its intrinsics need
/// in order to be inlined.
macro_rules! each_group {
    ($lanes:ident, $n_queries:expr, |$first:ident, $LEN:ident| $body:block) => {
        let mut $first = 0;
        while $first < $n_queries {
            match ($lanes::IS_ROOMY, $n_queries - $first) {
                (true, 4..) => each_group!(@one $first, $LEN = 4, $body),
                (_, 2..) => each_group!(@one $first, $LEN = 2, $body),
                _ => each_group!(@one $first, $LEN = 1, $body),
            }
        }
    };
    (@one $first:ident, $LEN:ident = $len:literal, $body:block) => {{
        const $LEN: usize = $len;
        $body
        $first += $LEN;
    }};
}

/// Runs a body with a kind of floats as a constant, so that its loops are compiled for each.
macro_rules! with_kind {
    ($found:expr, |$kind:ident| $body:expr) => {
        match $found {
            FloatKind::F32 => {
                let $kind = FloatKind::F32;
                $body
            }
            FloatKind::F16 => {
                let $kind = FloatKind::F16;
                $body
            }
            FloatKind::Bf16 => {
                let $kind = FloatKind::Bf16;
                $body
            }
        }
    };
}

/// The scores of queries against the tile's keys, `scale * dot(query, key)`.
#[inline(always)]
pub(crate) fn score<L: Lanes>(queries: &[f32], scale: f32, tile: Tile<'_>, scores: &mut Scores) {
    with_kind!(tile.kind, |kind| score_kind::<L>(kind, queries, scale, tile, scores));
}

#[inline(always)]
fn score_kind<L: Lanes>(
    kind: FloatKind,
    queries: &[f32],
    scale: f32,
    tile: Tile<'_>,
    scores: &mut Scores,
) {
    let (n_queries, head_dim) = (scores.len(), queries.len() / scores.len());
    let row_bytes = head_dim * kind.bytes();
    for (keys, start) in tile.keys.chunks(PANEL_KEYS * row_bytes).zip((0..).step_by(PANEL_KEYS)) {
        prefetch::<L>(tile.values, start * row_bytes, keys.len());
        each_group!(L, n_queries, |first, LEN| {
            let queries = &queries[first * head_dim..][..LEN * head_dim];
            let scores = &mut scores[first..][..LEN];
            if L::IS_ROOMY || LEN < 2 {
                score_panel::<L, LEN, 4>(kind, queries, scale, (start, keys), scores);
            } else {
                score_panel::<L, LEN, 2>(kind, queries, scale, (start, keys), scores);
            }
        });
    }
}

/// The scores of `N` queries against the keys of a panel that begins at `position`, `K` at a time.
#[inline(always)]
fn score_panel<L: Lanes, const N: usize, const K: usize>(
    kind: FloatKind,
    queries: &[f32],
    scale: f32,
    (mut position, keys): (usize, &[u8]),
    scores: &mut Scores,
) {
    let head_dim = queries.len() / N;
    let row_bytes = head_dim * kind.bytes();
    let mut rows = [queries; N];
    for n in 0..N {
        rows[n] = &queries[n * head_dim..][..head_dim];
    }
    let mut groups = keys.chunks_exact(K * row_bytes);
    for keys in &mut groups {
        let mut group = [keys; K];
        for k in 0..K {
            group[k] = &keys[k * row_bytes..][..row_bytes];
        }
        let dots = dot_floats::<L, K, N>(kind, group, rows);
        for n in 0..N {
            let scores = &mut scores[n][position..][..K];
            scores.copy_from_slice(&dots[n].map(|dot| dot * scale));
        }
        position += K;
    }
    for key in groups.remainder().chunks_exact(row_bytes) {
        let dots = dot_floats::<L, 1, N>(kind, [key], rows);
        for n in 0..N {
            scores[n][position] = dots[n][0] * scale;
        }
        position += 1;
    }
}

/// Online-softmax update: makes weights (exponentials) of scores, those beyond the last position
/// being minus infinity, merges them into the states, and writes each query's rescale factors.
#[inline(always)]
pub(crate) fn softmax_update<L: Lanes>(
    n_positions: usize,
    scores: &mut Scores,
    states: &mut [RunningSoftmax],
    factors: &mut [Rescale],
) {
    let n_lane_groups = n_positions.div_ceil(N_LANES);
    each_group!(L, scores.len(), |first, LEN| {
        let (scores, states) = (&mut scores[first..][..LEN], &mut states[first..][..LEN]);
        let group_factors = softmax_update_group::<L, LEN>(n_lane_groups, scores, states);
        factors[first..][..LEN].copy_from_slice(&group_factors);
    });
}

#[inline(always)]
fn softmax_update_group<L: Lanes, const N: usize>(
    n_lane_groups: usize,
    scores: &mut Scores,
    states: &mut [RunningSoftmax],
) -> [Rescale; N] {
    let mut tiles = [RunningSoftmax::default(); N];
    for (scores, tile) in scores.iter_mut().zip(&mut tiles) {
        let groups = &mut scores.as_chunks_mut::<N_LANES>().0[..n_lane_groups];
        let mut max = L::splat(f32::NEG_INFINITY);
        for group in groups.iter() {
            max = L::from_array(*group).max(max);
        }
        let lanes = max.to_array();
        tile.max =
            lanes.into_iter().fold(f32::NEG_INFINITY, |max, s| if s > max { s } else { max });
        let (max, mut sum) = (L::splat(tile.max), L::splat(0.0));
        for group in groups {
            let exps = exp(L::from_array(*group).sub(max));
            sum = sum.add(exps);
            *group = exps.to_array();
        }
        tile.sum = sum.sum();
    }
    merge_softmax::<L, N>(states, &tiles)
}

/// PV accumulation: `out = out * before + now * sum over i of weights[i] * values[i]` for all queries,
/// `before` and `now` being the rescale factors.
#[inline(always)]
pub(crate) fn accumulate_pv<L: Lanes>(
    tile: Tile<'_>,
    weights: &Scores,
    factors: &[Rescale],
    out: &mut [f32],
) {
    with_kind!(tile.kind, |kind| accumulate_pv_kind::<L>(kind, tile, weights, factors, out));
}

#[inline(always)]
fn accumulate_pv_kind<L: Lanes>(
    kind: FloatKind,
    tile: Tile<'_>,
    weights: &Scores,
    factors: &[Rescale],
    out: &mut [f32],
) {
    let (n_queries, head_dim) = (weights.len(), out.len() / weights.len());
    for start in (0..head_dim).step_by(PANEL_COLUMNS) {
        let columns = start..(start + PANEL_COLUMNS).min(head_dim);
        let mut tile = tile;
        each_group!(L, n_queries, |first, LEN| {
            let weights = (&weights[first..][..LEN], &factors[first..][..LEN]);
            let out = &mut out[first * head_dim..][..LEN * head_dim];
            if L::IS_ROOMY || LEN < 2 {
                add_panel::<L, LEN, 4>(kind, tile, columns.clone(), weights, out);
            } else {
                add_panel::<L, LEN, 2>(kind, tile, columns.clone(), weights, out);
            }
            // The first group has prefetched it.
            tile.next = &[];
        });
    }
}

/// [`accumulate_pv`] for `N` queries and the columns of a panel, `C * 16` at a time.
#[inline(always)]
fn add_panel<L: Lanes, const N: usize, const C: usize>(
    kind: FloatKind,
    tile: Tile<'_>,
    columns: Range<usize>,
    weights: (&Scores, &[Rescale]),
    out: &mut [f32],
) {
    let mut column = columns.start;
    while column + C * N_LANES <= columns.end {
        add_columns::<L, N, C>(kind, tile, column, weights, out);
        column += C * N_LANES;
    }
    while column + N_LANES <= columns.end {
        add_columns::<L, N, 1>(kind, tile, column, weights, out);
        column += N_LANES;
    }
    if column < columns.end {
        add_last_columns::<L, N>(kind, tile, column, weights, out);
    }
}

/// The columns of [`add_panel`] that begin at `column`.
#[inline(always)]
fn add_columns<L: Lanes, const N: usize, const C: usize>(
    kind: FloatKind,
    tile: Tile<'_>,
    column: usize,
    (weights, factors): (&Scores, &[Rescale]),
    out: &mut [f32],
) {
    let head_dim = out.len() / N;
    let (row_bytes, group_bytes) = (head_dim * kind.bytes(), N_LANES * kind.bytes());
    let mut sums = [[L::splat(0.0); C]; N];
    for position in 0..tile.values.len() / row_bytes {
        let at = position * row_bytes + column * kind.bytes();
        prefetch::<L>(tile.next, at, C * group_bytes);
        let row = &tile.values[at..][..C * group_bytes];
        for c in 0..C {
            let values = L::load(kind, &row[c * group_bytes..][..group_bytes]);
            for n in 0..N {
                sums[n][c] = values.mul_add(L::splat(weights[n][position]), sums[n][c]);
            }
        }
    }
    for n in 0..N {
        let (before, now) = (L::splat(factors[n][0]), L::splat(factors[n][1]));
        let out = &mut out[n * head_dim + column..][..C * N_LANES];
        for (out, sum) in out.as_chunks_mut::<N_LANES>().0.iter_mut().zip(sums[n]) {
            *out = L::from_array(*out).mul(before).add(sum.mul(now)).to_array();
        }
    }
}

/// The columns of [`add_panel`] from `column` on, fewer than there are lanes.
#[inline(always)]
fn add_last_columns<L: Lanes, const N: usize>(
    kind: FloatKind,
    tile: Tile<'_>,
    column: usize,
    (weights, factors): (&Scores, &[Rescale]),
    out: &mut [f32],
) {
    let head_dim = out.len() / N;
    let mut sums = [L::splat(0.0); N];
    for (position, row) in tile.values.chunks_exact(head_dim * kind.bytes()).enumerate() {
        let values = load_zero_filled::<L>(kind, &row[column * kind.bytes()..]);
        for n in 0..N {
            sums[n] = values.mul_add(L::splat(weights[n][position]), sums[n]);
        }
    }
    for n in 0..N {
        let (before, now) = (L::splat(factors[n][0]), L::splat(factors[n][1]));
        let out = &mut out[n * head_dim + column..(n + 1) * head_dim];
        let merged = zero_filled::<L>(out).mul(before).add(sums[n].mul(now)).to_array();
        out.copy_from_slice(&merged[..out.len()]);
    }
}

/// Prefetches some bytes, as far as they are there.
#[inline(always)]
fn prefetch<L: Lanes>(bytes: &[u8], start: usize, n_bytes: usize) {
    const LINE: usize = 64;
    for line in (start..(start + n_bytes).min(bytes.len())).step_by(LINE) {
        L::prefetch(&bytes[line]);
    }
}
