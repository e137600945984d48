//! What of an answer can be told while it is made.

use super::calls::may_be_calls;
use super::request::Request;
use super::said::{Said, Unsaid};
use gatefold::engine::Delta;
use gatefold::tokenizer::Tokenizer;
use std::mem;

/// A piece of an answer: its text, and its tokens where their log probabilities are wanted.
pub(super) type Piece = (String, Vec<Said>);

/// What an answer has said, until it can be told.
pub(super) struct Untold {
    unsaid: Unsaid,
    /// What may turn out to be calls of functions; nothing once it is known to be text.
    maybe_calls: Option<Piece>,
}

impl Untold {
    /// Nothing so far of an answer to this request.
    pub fn new(request: &Request) -> Untold {
        let maybe_calls = request.tools.is_some().then(Default::default);
        Untold { unsaid: Unsaid::new(request.is_chat()), maybe_calls }
    }

    /// Takes more of the answer, and returns what can be told with it, if anything can.
    pub fn more(&mut self, tokenizer: &Tokenizer, delta: Delta) -> Option<Piece> {
        let said = self.unsaid.more(tokenizer, &delta);
        let mut piece = (delta.text, said);
        if let Some((text, said)) = &mut self.maybe_calls {
            text.push_str(&piece.0);
            said.extend(piece.1);
            if may_be_calls(text) {
                return None;
            }
            piece = self.maybe_calls.take().unwrap_or_default();
        }
        is_something(piece)
    }

    /// What is left of an answer that has ended; nothing if it turned out to be calls.
    pub fn finish(&mut self, is_calls: bool) -> Option<Piece> {
        let (text, mut said) = self.maybe_calls.take().unwrap_or_default();
        said.extend(mem::replace(&mut self.unsaid, Unsaid::new(false)).finish(""));
        is_something((text, said)).filter(|_| !is_calls)
    }
}

fn is_something(piece: Piece) -> Option<Piece> {
    Some(piece).filter(|(text, said)| !text.is_empty() || !said.is_empty())
}
