//! Text from tokens, one at a time.

use super::Tokenizer;
use std::borrow::Borrow;

/// The bytes that tokens add to a text.
pub struct TextBytes {
    /// The next bytes are the first of all, so a prefix space is not part of the text.
    is_start: bool,
}

impl TextBytes {
    /// For tokens that continue a text, or begin one (`is_own_text`).
    pub fn new(is_own_text: bool) -> TextBytes {
        TextBytes { is_start: is_own_text }
    }

    /// What a token would add.
    pub fn of<'t>(&self, tokenizer: &'t Tokenizer, id: u32) -> &'t [u8] {
        let n_skipped = usize::from(self.is_start && tokenizer.begins_with_prefix_space(id));
        &tokenizer.bytes(id)[n_skipped..]
    }

    /// What a token adds.
    pub fn push<'t>(&mut self, tokenizer: &'t Tokenizer, id: u32) -> &'t [u8] {
        let bytes = self.of(tokenizer, id);
        self.is_start &= tokenizer.bytes(id).is_empty();
        bytes
    }
}

/// Turns tokens into text as they come.
///
/// A character may be spread over several tokens (byte pieces, byte-level pieces): its bytes are
/// held back until it is complete, and become U+FFFD once it is certain that it never will be.
/// Control tokens have no text. `T` lends or owns the tokenizer.
pub struct TextStream<T> {
    tokenizer: T,
    bytes: TextBytes,
    held_back: Vec<u8>,
}

impl<T: Borrow<Tokenizer>> TextStream<T> {
    /// For tokens that continue a text: a leading space is part of theirs.
    pub fn new(tokenizer: T) -> TextStream<T> {
        TextStream { tokenizer, bytes: TextBytes::new(false), held_back: Vec::new() }
    }

    /// For tokens that begin a text: the space which SentencePiece puts before it is left out.
    pub fn from_start(tokenizer: T) -> TextStream<T> {
        TextStream { tokenizer, bytes: TextBytes::new(true), held_back: Vec::new() }
    }

    /// The text that a token completes, which may be none.
    pub fn push(&mut self, id: u32) -> String {
        self.held_back.extend_from_slice(self.bytes.push(self.tokenizer.borrow(), id));
        self.take_certain()
    }

    /// The text that is left when no more tokens come.
    pub fn finish(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.held_back).into_owned();
        self.held_back.clear();
        text
    }

    fn take_certain(&mut self) -> String {
        let mut text = String::new();
        let mut n_taken = 0;
        for chunk in self.held_back.utf8_chunks() {
            text.push_str(chunk.valid());
            n_taken += chunk.valid().len();
            let at_end = n_taken + chunk.invalid().len() == self.held_back.len();
            if chunk.invalid().is_empty() || (at_end && may_become_valid(chunk.invalid())) {
                break;
            }
            text.push(char::REPLACEMENT_CHARACTER);
            n_taken += chunk.invalid().len();
        }
        self.held_back.drain(..n_taken);
        text
    }
}

/// Whether bytes are the beginning of a character.
fn may_become_valid(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}
