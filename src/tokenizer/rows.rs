//! The tokens of a vocabulary and the embeddings of its model, which are not always as many: the
//! number of embeddings is rounded up, and tokens are added that no embedding was made for.

use super::error::TokenizerError;
use super::vocabulary::{Algorithm, PieceKind, Vocabulary, some_of};
use std::collections::HashSet;

/// How far the two numbers may lie apart: published models have up to 2,400 embeddings without a
/// token among 100,000, and fine-tunes some hundreds of tokens without an embedding.
const MOST_APART: usize = 1024;

/// The part of the larger number that may lie between them where that is more.
const MOST_APART_IN: usize = 16;

/// Embeddings that rounding up to a convenient number adds at most.
const MOST_PADDING: usize = 256;

/// Tokens that a fine-tune adds without making embeddings for them.
const MOST_ADDED: usize = 32;

/// Whether a vocabulary can be that of a model with embeddings for `n_rows` tokens.
pub(crate) fn belong_together(n_tokens: usize, n_rows: usize) -> bool {
    n_tokens.abs_diff(n_rows) <= MOST_APART.max(n_tokens.max(n_rows) / MOST_APART_IN)
}

/// Refuses the vocabulary of another model.
pub(super) fn check(n_tokens: usize, n_rows: usize) -> Result<(), TokenizerError> {
    match belong_together(n_tokens, n_rows) {
        true => Ok(()),
        false => Err(TokenizerError::Rows { n_tokens, n_rows }),
    }
}

/// The piece of an embedding that has no token, as the field names it.
pub(crate) fn padding_piece(id: u32) -> String {
    format!("[PAD{id}]")
}

/// What is to be known of tokens without an embedding, if there are any.
pub(crate) fn note_on_left_out<'p>(tokens: impl Iterator<Item = (u64, &'p str)>) -> Option<String> {
    let named = tokens.map(|(id, piece)| (piece, format!(" (id {id})")));
    let named: Vec<_> = named.collect();
    let (is_any, doubt) = (!named.is_empty(), doubt(named.len() > MOST_ADDED));
    let left_out = some_of(named.into_iter());
    is_any.then(|| format!("the model has no embedding for {left_out}: left out{doubt}"))
}

/// What is to be known of `n_padding` embeddings without a token, if there are any.
pub(crate) fn note_on_padding(n_padding: usize) -> Option<String> {
    let what = match n_padding {
        0 => return None,
        1 => "an embedding without a token, which is".to_owned(),
        _ => format!("{n_padding} embeddings without a token, which are"),
    };
    let doubt = doubt(n_padding > MOST_PADDING);
    Some(format!("the model has {what} never produced{doubt}"))
}

/// What is to be thought of numbers that lie far apart.
fn doubt(is_far: bool) -> &'static str {
    if is_far { "; so many may mean that the vocabulary is another model's" } else { "" }
}

impl Vocabulary {
    /// Leaves out the tokens beyond `n_rows`, or pads the vocabulary to that many pieces.
    pub(super) fn fit(&mut self, n_rows: usize) {
        let n_tokens = self.pieces.len();
        let left_out = self.pieces.split_off(n_rows.min(n_tokens));
        let ids = n_rows as u64..;
        self.notes.extend(note_on_left_out(ids.zip(left_out.iter().map(String::as_str))));
        self.notes.extend(note_on_padding(n_rows.saturating_sub(n_tokens)));
        self.pieces.extend((n_tokens as u32..n_rows as u32).map(padding_piece));
        self.kinds.resize(n_rows, PieceKind::Unused);
        match &mut self.algorithm {
            Algorithm::SentencePiece { scores, .. } => scores.resize(n_rows, f32::MIN),
            Algorithm::ByteLevel { merges, .. } if !left_out.is_empty() => {
                let known: HashSet<&str> = self.pieces.iter().map(String::as_str).collect();
                merges.retain(|(left, right)| {
                    let joined = format!("{left}{right}");
                    [left, right, &joined].iter().all(|piece| known.contains(piece.as_str()))
                });
            }
            Algorithm::ByteLevel { .. } => {}
        }
    }

    /// The ids of the pieces that stand for embeddings without a token, ascending: unless they are
    /// all that there is.
    pub(super) fn padding(&self) -> Vec<u32> {
        let is_padding = |&id: &u32| {
            self.kinds[id as usize] == PieceKind::Unused
                && !self.ends.contains(&id)
                && self.pieces[id as usize] == padding_piece(id)
        };
        let padding: Vec<u32> = (0..self.pieces.len() as u32).filter(is_padding).collect();
        if padding.len() < self.pieces.len() { padding } else { vec![] }
    }
}
