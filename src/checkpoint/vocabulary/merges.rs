//! Scores in place of ranked merges.
//!
//! SentencePiece merges any two neighbours that join to a piece, the piece of the best score first.
//! `tokenizer.json` lists the pairs that may be merged, in order. Both come to the same where the
//! list was made of scores: it holds all splits of a piece, one after the other, and the first one's
//! rank, negated, is the score. A list that was learned as such has one split per piece, which
//! scores cannot say; it is refused.

use super::definition::Pieces;
use super::error::VocabularyProblem;
use super::tokenizer_json::Merge;
use crate::checkpoint::error::quoted;
use crate::tokenizer::PieceKind;
use std::collections::{HashMap, HashSet};

/// The longest piece whose splits are looked at, in bytes; the longest published have a fifth.
const LONGEST: usize = 512;

/// Gives the pieces the scores that lead to the order of `merges`.
pub(super) fn score(merges: &[Merge], pieces: &mut Pieces) -> Result<(), VocabularyProblem> {
    let mut ranks: HashMap<String, usize> = HashMap::new();
    let mut last = String::new();
    for (rank, merge) in merges.iter().enumerate() {
        let joined = format!("{}{}", merge.left, merge.right);
        if joined != last {
            if ranks.insert(joined.clone(), rank).is_some() {
                return Err(failed(&joined, "are not one after the other"));
            }
            last = joined;
        }
    }
    check_splits(merges, pieces)?;
    for piece in pieces.iter_mut().filter(|piece| piece.kind == PieceKind::Normal) {
        if let Some(&rank) = ranks.get(&piece.text) {
            piece.score = -(rank as f32);
        }
    }
    Ok(())
}

/// Refuses pieces of which a split is no merge.
fn check_splits(merges: &[Merge], pieces: &Pieces) -> Result<(), VocabularyProblem> {
    let merges: HashSet<(&str, &str)> =
        merges.iter().map(|merge| (merge.left.as_str(), merge.right.as_str())).collect();
    let normal = pieces.iter().filter(|piece| piece.kind == PieceKind::Normal);
    let normal: HashSet<&str> = normal.map(|piece| piece.text.as_str()).collect();
    for &piece in &normal {
        if piece.len() > LONGEST {
            return Err(failed(piece, "are too many to look at"));
        }
        for (at, _) in piece.char_indices().skip(1) {
            let (left, right) = piece.split_at(at);
            let is_split = normal.contains(left) && normal.contains(right);
            if is_split && !merges.contains(&(left, right)) {
                return Err(failed(piece, "are not all there"));
            }
        }
    }
    Ok(())
}

fn failed(piece: &str, how: &str) -> VocabularyProblem {
    VocabularyProblem::Merges { found: format!("the merges to `{}` {how}", quoted(piece)) }
}
