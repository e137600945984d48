//! What each piece is for, where a file says it and where its word cannot be right.

use super::error::TokenizerError;
use super::keys::TOKEN_TYPE;
use super::sentencepiece::byte_of;
use super::vocabulary::{END_NAMES, PieceKind, check_length, some_of};
use crate::gguf::Metadata;
use std::collections::HashSet;

/// Marks that have another form than `<|...|>`, besides those that end an answer.
const OTHER_MARKS: &[&str] = &["<s>", "<bos>", "<eos>", "<pad>"];

/// The kinds of the pieces, with a sentence on each way in which they are not what the file says;
/// byte-level vocabularies have `merges`.
///
/// - A type that does not exist is that of text.
/// - The marks of chat formats steer the model even where they are called text or unused: merges
///   that lead to one make it text after all.
/// - Without types, SentencePiece's byte pieces are known by their spelling.
pub(super) fn kinds(
    metadata: &Metadata,
    pieces: &[String],
    merges: Option<&[(String, String)]>,
    notes: &mut Vec<String>,
) -> Result<Vec<PieceKind>, TokenizerError> {
    let types = metadata.i64s(TOKEN_TYPE)?;
    let mut kinds = match &types {
        Some(types) => {
            check_length(TOKEN_TYPE, types.len(), pieces.len())?;
            let unknown = types.iter().find(|&&found| PieceKind::by_number(found).is_none());
            if let Some(found) = unknown {
                notes.push(format!(
                    "`{TOKEN_TYPE}` has {found}, which is no type: such tokens are taken as text"
                ));
            }
            let kind = |&found| PieceKind::by_number(found).unwrap_or(PieceKind::Normal);
            types.iter().map(kind).collect()
        }
        None => {
            notes.push(format!(
                "`{TOKEN_TYPE}` is missing: byte pieces and control tokens are told by their names"
            ));
            vec![PieceKind::Normal; pieces.len()]
        }
    };
    if types.is_none() && merges.is_none() {
        for (kind, piece) in kinds.iter_mut().zip(pieces) {
            match piece.as_str() {
                "<unk>" => *kind = PieceKind::Unknown,
                _ if byte_of(piece).is_some() => *kind = PieceKind::Byte,
                _ => {}
            }
        }
    }
    let is_text = |kind| matches!(kind, PieceKind::Normal | PieceKind::Unused);
    let is_text_mark = |&id: &usize| is_text(kinds[id]) && is_mark(&pieces[id]);
    let marks: Vec<usize> = (0..pieces.len()).filter(is_text_mark).collect();
    let merges = merges.filter(|_| !marks.is_empty()).unwrap_or_default().iter();
    let merged: HashSet<String> = merges.map(|(left, right)| format!("{left}{right}")).collect();
    let marks: Vec<usize> = marks.into_iter().filter(|&id| !merged.contains(&pieces[id])).collect();
    marks.iter().for_each(|&id| kinds[id] = PieceKind::Control);
    if types.is_some() && !marks.is_empty() {
        notes.push(format!(
            "`{TOKEN_TYPE}` calls {} text or unused: taken as control tokens",
            some_of(marks.iter().map(|&id| (pieces[id].as_str(), String::new())))
        ));
    }
    Ok(kinds)
}

/// Whether a piece is spelled like the mark of a chat format, which no text is.
fn is_mark(piece: &str) -> bool {
    let is_between = |open: &str, close: &str| {
        let inner = piece.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        inner.is_some_and(|inner| {
            !inner.is_empty() && !inner.contains(|c: char| c.is_whitespace() || c == '|')
        })
    };
    is_between("<|", "|>")
        || is_between("<｜", "｜>")
        || END_NAMES.contains(&piece)
        || OTHER_MARKS.contains(&piece)
}
