//! Scores in place of ranked merges.
//!
//! SentencePiece merges any two neighbours that join to a piece, the piece of the best score first.
//! `tokenizer.json` lists the pairs that may be merged, in order. Both come to the same where the
//! list was made of scores: it holds all splits of a piece, one after the other, and the first one's
//! rank, negated, is the score. A list that was learned as such has one split per piece, which
//! scores cannot say; it is refused.

use super::definition::Pieces;
use crate::checkpoint::error::VocabularyProblem;
use crate::text::shortened;
use crate::tokenizer::{PieceKind, SPACE};
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Two pieces that are merged.
pub(super) struct Merge {
    pub left: String,
    pub right: String,
}

/// A merge is a list of two pieces, in older files a string with a space between them.
impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Merge, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge, which is two pieces")
            }

            fn visit_str<E: Error>(self, merge: &str) -> Result<Merge, E> {
                let (left, right) =
                    merge.split_once(' ').ok_or_else(|| E::custom("a merge of one piece"))?;
                Ok(Merge { left: left.to_owned(), right: right.to_owned() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pieces: A) -> Result<Merge, A::Error> {
                let mut piece = || {
                    let piece = pieces.next_element()?;
                    piece.ok_or_else(|| A::Error::custom("a merge of fewer than two pieces"))
                };
                let merge = Merge { left: piece()?, right: piece()? };
                Ok(merge)
            }
        }
        deserializer.deserialize_any(Pair)
    }
}

/// The longest piece whose splits are looked at, in bytes; the longest published have a fifth.
const LONGEST: usize = 512;

/// Gives the pieces the scores that lead to the order of `merges`.
pub(super) fn score(merges: &[Merge], pieces: &mut Pieces) -> Result<(), VocabularyProblem> {
    let ranks = ranks(merges, |piece| piece).or_else(|_| ranks(merges, spaces_together))?;
    check_splits(merges, pieces)?;
    for piece in pieces.iter_mut().filter(|piece| piece.kind == PieceKind::Normal) {
        if let Some(&rank) = ranks.get(&piece.text) {
            piece.score = -(rank as f32);
        }
    }
    Ok(())
}

/// The first rank of the merges to each piece, or to any piece of its group. A group's merges
/// follow each other.
fn ranks(
    merges: &[Merge],
    group: impl Fn(&str) -> &str,
) -> Result<HashMap<String, usize>, VocabularyProblem> {
    let (mut ranks, mut groups) = (HashMap::new(), HashSet::new());
    let (mut current, mut first) = (String::new(), 0);
    for (rank, merge) in merges.iter().enumerate() {
        let piece = format!("{}{}", merge.left, merge.right);
        if group(&piece) != current {
            (current, first) = (group(&piece).to_owned(), rank);
            if !groups.insert(current.clone()) {
                return Err(failed(&piece, "are not one after the other"));
            }
        }
        ranks.entry(piece).or_insert(first);
    }
    Ok(ranks)
}

/// One group for all runs of spaces. Mistral's have one score, and transformers from 4.40 on lists
/// the merges to all of them by length: either way a run grows from its left end.
fn spaces_together(piece: &str) -> &str {
    match piece.trim_start_matches(SPACE) {
        "" => &piece[..piece.len().min(SPACE.len_utf8())],
        _ => piece,
    }
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
    VocabularyProblem::Merges { found: format!("the merges to `{}` {how}", shortened(piece)) }
}
