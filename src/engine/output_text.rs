//! The text of an answer, as its tokens come.

use super::request::FinishReason;
use super::stop::StopScanner;
use crate::tokenizer::{TextStream, Tokenizer};
use std::sync::Arc;

/// The text of an answer, up to its stop string.
pub(super) struct OutputText {
    stream: TextStream<Arc<Tokenizer>>,
    stops: StopScanner,
    text: String,
}

impl OutputText {
    /// An answer that has not begun. One that is a text of its own does not begin with the space
    /// that separates it from the prompt.
    pub fn new(tokenizer: Arc<Tokenizer>, is_own_text: bool, stops: Vec<String>) -> OutputText {
        let stream = match is_own_text {
            true => TextStream::from_start(tokenizer),
            false => TextStream::new(tokenizer),
        };
        OutputText { stream, stops: StopScanner::new(stops), text: String::new() }
    }

    /// Takes a token. Returns the text that is certain now, and whether a stop string ends it.
    pub fn push(&mut self, token: u32) -> (String, bool) {
        let (shown, stopped) = self.stops.push(&self.stream.push(token));
        self.text.push_str(&shown);
        (shown, stopped)
    }

    /// The whole text once no more tokens come, and the part of it that was held back until now.
    pub fn finish(mut self, reason: FinishReason) -> (String, String) {
        let mut rest = String::new();
        if !matches!(reason, FinishReason::StopString | FinishReason::Cancelled) {
            let (shown, stopped) = self.stops.push(&self.stream.finish());
            rest = if stopped { shown } else { shown + &self.stops.finish() };
        }
        (self.text + &rest, rest)
    }
}
