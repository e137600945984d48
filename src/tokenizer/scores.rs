//! The order in which SentencePiece's pieces are merged, where a file's scores do not tell it.

use super::error::TokenizerError;
use super::keys::{MERGES, SCORES};
use super::sentencepiece::SPACE;
use super::vocabulary::{PieceKind, check_length};
use crate::gguf::Metadata;
use std::collections::HashMap;

/// The score of runs of spaces in Mistral's vocabularies.
const SCORE_OF_SPACES: f32 = -1e9;

/// The score of each piece; none is NaN.
///
/// Scores say nothing if they are missing, or the same for all pieces that merges could lead to.
/// Then the order of `tokenizer.ggml.merges` counts, if there is one, else that of the ids:
/// SentencePiece numbers its pieces in the order in which they are merged. Runs of spaces come
/// last, all alike: the makers of Llama's and Mistral's vocabularies put them there, whatever their
/// ids.
pub(super) fn scores(
    metadata: &Metadata,
    pieces: &[String],
    kinds: &[PieceKind],
    notes: &mut Vec<String>,
) -> Result<Vec<f32>, TokenizerError> {
    let found = metadata.f32s(SCORES)?;
    if let Some(scores) = &found {
        check_length(SCORES, scores.len(), pieces.len())?;
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            return Err(TokenizerError::ScoreNaN { id });
        }
    }
    let problem = match found {
        Some(scores) if tell_an_order(&scores, pieces, kinds) => return Ok(scores),
        Some(_) => "are all the same",
        None => "are missing",
    };
    let by_id = pieces.iter().enumerate().map(|(id, piece)| match is_run_of_spaces(piece) {
        true => SCORE_OF_SPACES,
        false => -(id as f32),
    });
    let Some(merges) = metadata.strings(MERGES)? else {
        notes.push(format!("`{SCORES}` {problem}: pieces of lower ids are merged first"));
        return Ok(by_id.collect());
    };
    let mut ranks = HashMap::with_capacity(merges.len());
    for (rank, merge) in merges.iter().enumerate() {
        ranks.entry(merge.replacen(' ', "", 1)).or_insert(rank);
    }
    notes.push(format!("`{SCORES}` {problem}: the order of `{MERGES}` counts"));
    let score = |(piece, by_id): (&String, f32)| match ranks.get(piece) {
        Some(&rank) => -(rank as f32),
        None => by_id - merges.len() as f32,
    };
    Ok(pieces.iter().zip(by_id).map(score).collect())
}

fn is_run_of_spaces(piece: &str) -> bool {
    piece.len() > SPACE.len_utf8() && piece.trim_start_matches(SPACE).is_empty()
}

/// Whether one piece goes before another, or there is but one that could be merged.
fn tell_an_order(scores: &[f32], pieces: &[String], kinds: &[PieceKind]) -> bool {
    let is_joined = |(piece, kind): (&String, &PieceKind)| {
        *kind == PieceKind::Normal && piece.chars().nth(1).is_some()
    };
    let joined = pieces.iter().zip(kinds).zip(scores);
    let mut scores = joined.filter(|(piece, _)| is_joined(*piece)).map(|(_, score)| score);
    let Some(first) = scores.next() else { return true };
    let mut others = scores.peekable();
    others.peek().is_none() || others.any(|score| score != first)
}
