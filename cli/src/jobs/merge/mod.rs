//! Shards' results become one file.

mod error;
mod piece;

pub use error::MergeError;

use super::row::is_same_result;
use error::MOST_NAMED;
use piece::{Found, Piece};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;
use std::path::PathBuf;

/// What was put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The results.
    pub n_lines: usize,
    /// Those that say what was wrong, in the place of an answer.
    pub n_unanswered: usize,
    /// Those of what is not in the input.
    pub n_others: usize,
    /// The shards that they come from.
    pub n_shards: usize,
}

/// Puts the results of all shards of some work together, in the order of the input; results of what is
/// not in the input come last. Nothing is written before everything is seen to be whole.
///
/// # Errors
/// If anything is missing, double, changed, or does not belong to the others.
pub fn merge(paths: &[PathBuf], out: &mut impl Write) -> Result<Merged, MergeError> {
    let pieces = paths.iter().map(|path| Piece::open(path)).collect::<Result<Vec<_>, _>>()?;
    check(&pieces)?;
    let mut places = Vec::new();
    for (piece_idx, piece) in pieces.iter().enumerate() {
        let shard_idx = piece.part.shard.idx();
        places.extend(piece.lines.iter().map(|line| {
            // Others have none, and come last.
            let number = line.number.unwrap_or(u64::MAX);
            (number, shard_idx, line.range.start, piece_idx, line)
        }));
    }
    places.sort_unstable_by_key(|&(number, shard_idx, start, ..)| (number, shard_idx, start));
    for &(.., piece_idx, line) in &places {
        let line = pieces[piece_idx].line(line)?;
        out.write_all(&line).and_then(|()| out.write_all(b"\n")).map_err(MergeError::Write)?;
    }
    let n_of = |is_one: fn(&Found) -> bool| places.iter().filter(|(.., line)| is_one(line)).count();
    Ok(Merged {
        n_lines: places.len(),
        n_unanswered: n_of(|line| !line.is_answered),
        n_others: n_of(|line| line.number.is_none()),
        n_shards: pieces.len(),
    })
}

/// Checks that pieces belong together and make up the whole.
fn check(pieces: &[Piece]) -> Result<(), MergeError> {
    let [first, rest @ ..] = pieces else { return Err(MergeError::NoParts) };
    for other in rest {
        let paths = || (first.path.clone(), other.path.clone());
        let [a, b] = [&first.part, &other.part];
        if a.shard.n_shards() != b.shard.n_shards() {
            let shards = (a.shard.to_string(), b.shard.to_string());
            return Err(MergeError::OtherCount { paths: paths(), shards });
        }
        if let Some(what) = a.conditions.difference(&b.conditions) {
            return Err(MergeError::OtherConditions { paths: paths(), what: what.into() });
        }
        if (a.n_all, &a.pieces) != (b.n_all, &b.pieces) {
            return Err(MergeError::OtherInput { paths: paths(), n_rows: (a.n_all, b.n_all) });
        }
    }
    let (n_shards, n_all) = (first.part.shard.n_shards(), first.part.n_all);
    let mut by_shard = BTreeMap::new();
    for idx in 0..pieces.len() {
        if let Some(other_idx) = by_shard.insert(pieces[idx].part.shard.idx(), idx) {
            return Err(double(&pieces[other_idx], &pieces[idx]));
        }
    }
    let n_missing = n_shards - by_shard.len() as u64;
    if n_missing > 0 {
        let missing = (0..n_shards).filter(|idx| !by_shard.contains_key(idx)).take(MOST_NAMED);
        let mut missing: Vec<String> = missing.map(|idx| format!("{idx}/{n_shards}")).collect();
        missing.extend((n_missing > MOST_NAMED as u64).then(|| "...".into()));
        return Err(MergeError::Missing { n_shards, n_missing, missing });
    }
    let n_told = pieces.iter().map(|piece| piece.part.n_own).fold(0, u64::saturating_add);
    let lines = pieces.iter().flat_map(|piece| &piece.lines);
    let numbers: HashSet<u64> = lines.filter_map(|line| line.number).collect();
    match [n_told, numbers.len() as u64].into_iter().find(|n_found| *n_found != n_all) {
        Some(n_found) => Err(MergeError::MissingRows { n_found, n_all }),
        None => Ok(()),
    }
}

/// What is wrong with two pieces of one shard.
fn double(a: &Piece, b: &Piece) -> MergeError {
    let rows = |piece: &Piece| {
        let mut rows: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for line in &piece.lines {
            // What cannot be read differs from what can.
            let text = piece.line(line).unwrap_or_default();
            rows.entry(line.name.clone()).or_default().push(text);
        }
        rows
    };
    let (rows_of_a, rows_of_b) = (rows(a), rows(b));
    let names: BTreeSet<&String> = rows_of_a.keys().chain(rows_of_b.keys()).collect();
    let is_same = |name: &&&String| match (rows_of_a.get(**name), rows_of_b.get(**name)) {
        (Some(a), Some(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_result(a, b))
        }
        _ => false,
    };
    let differing = names.iter().filter(|name| !is_same(name)).map(|name| (*name).clone());
    MergeError::DoubleShard {
        paths: (a.path.clone(), b.path.clone()),
        shard: a.part.shard.to_string(),
        differing: differing.collect(),
    }
}
