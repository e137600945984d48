//! What of an answer can be told while it is made.

use super::calls::may_be_calls;
use super::request::Request;
use super::text_tokens::{PendingTokens, TextToken};
use gatefold::engine::Delta;
use gatefold::tokenizer::Tokenizer;
use std::mem;

/// A piece of an answer: its text, and its tokens where their log probabilities are wanted.
pub(super) type Piece = (String, Vec<TextToken>);

/// What an answer has said, until it can be told.
pub(super) struct DeltaParser {
    pending: PendingTokens,
    /// What may turn out to be calls of functions; nothing once it is known to be text.
    maybe_calls: Option<Piece>,
}

impl DeltaParser {
    /// Nothing so far of an answer to this request.
    pub fn new(request: &Request) -> DeltaParser {
        let maybe_calls = request.tools.is_some().then(Default::default);
        DeltaParser { pending: PendingTokens::new(request.is_chat()), maybe_calls }
    }

    /// Takes more of the answer, and returns what can be told with it, if anything can.
    pub fn more(&mut self, tokenizer: &Tokenizer, delta: Delta) -> Option<Piece> {
        let tokens = self.pending.more(tokenizer, &delta);
        let mut piece = (delta.text, tokens);
        if let Some((text, tokens)) = &mut self.maybe_calls {
            text.push_str(&piece.0);
            tokens.extend(piece.1);
            if may_be_calls(text) {
                return None;
            }
            piece = self.maybe_calls.take().unwrap_or_default();
        }
        is_something(piece)
    }

    /// What is left of an answer that has ended; nothing if it turned out to be calls.
    pub fn finish(&mut self, is_calls: bool) -> Option<Piece> {
        let (text, mut tokens) = self.maybe_calls.take().unwrap_or_default();
        tokens.extend(mem::replace(&mut self.pending, PendingTokens::new(false)).finish(""));
        is_something((text, tokens)).filter(|_| !is_calls)
    }
}

fn is_something(piece: Piece) -> Option<Piece> {
    Some(piece).filter(|(text, tokens)| !text.is_empty() || !tokens.is_empty())
}
