//! The answer's tokens on the colours of their experts, as they come.

use crate::routing::paint;
use gatefold::engine::Delta;
use gatefold::model::Routes;

/// Holds each token's text back until it is known where the token went, which is when the next one is
/// made.
pub struct Colouring {
    /// None leaves texts as they are.
    layer: Option<usize>,
    /// Index of the token that comes next.
    next: usize,
    /// The text of the last token, and its index.
    held_back: Option<(usize, String)>,
    /// What is ready to be shown.
    ready: String,
}

impl Colouring {
    /// For an answer to so many tokens, by the experts of a layer.
    pub fn new(layer: Option<usize>, n_prompt: usize) -> Colouring {
        Colouring { layer, next: n_prompt, held_back: None, ready: String::new() }
    }

    /// Takes what the routers chose for the tokens from index `first` on.
    pub fn routed(&mut self, first: usize, routes: &Routes) {
        let Some(layer) = self.layer else { return };
        let tokens = first..first + routes.n_tokens();
        if let Some((idx, text)) = self.held_back.take_if(|(idx, _)| tokens.contains(idx)) {
            self.ready += &paint(&text, routes.of(layer, idx - first)[0].expert_idx);
        }
    }

    /// What can be shown when a piece of the answer has come.
    pub fn colour(&mut self, delta: Delta) -> String {
        if self.layer.is_none() {
            return delta.text;
        }
        let shown = self.rest();
        let last = self.next + delta.tokens.len();
        self.next = last;
        self.held_back = (!delta.text.is_empty()).then(|| (last.saturating_sub(1), delta.text));
        shown
    }

    /// All that has not been shown: the last token, which went nowhere, has no colour.
    pub fn rest(&mut self) -> String {
        let held_back = self.held_back.take().map(|(_, text)| text).unwrap_or_default();
        std::mem::take(&mut self.ready) + &held_back
    }
}
