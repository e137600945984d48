//! Which tokens an answer's text consists of.

use gatefold::engine::{Delta, TokenLogprobs};
use gatefold::tokenizer::{TextBytes, Tokenizer};

/// A token with what it adds to the text.
#[derive(Debug)]
pub(super) struct TextToken {
    pub bytes: Vec<u8>,
    /// Its log probability; the first of all tokens has none.
    pub logprob: Option<f32>,
    /// The most probable tokens, with what they would have added.
    pub top: Vec<(Vec<u8>, f32)>,
}

/// Tokens of a text, as they come, until their text is certain. Together they are the text: without
/// what a stop string has cut off.
pub(super) struct PendingTokens {
    text_bytes: TextBytes,
    /// Those that came since all that had come was certain.
    tokens: Vec<TextToken>,
    /// How many of these were taken.
    n_taken: usize,
    /// Bytes of their text that are certain.
    text_len: usize,
}

impl PendingTokens {
    /// For tokens that go on from a text, or begin one (`is_own_text`).
    pub fn new(is_own_text: bool) -> PendingTokens {
        let text_bytes = TextBytes::new(is_own_text);
        PendingTokens { text_bytes, tokens: Vec::new(), n_taken: 0, text_len: 0 }
    }

    /// Another token.
    pub fn push(&mut self, tokenizer: &Tokenizer, token: u32, logprobs: Option<&TokenLogprobs>) {
        let of = |&(token, logprob): &(u32, f32)| {
            (self.text_bytes.of(tokenizer, token).to_vec(), logprob)
        };
        let top = logprobs.iter().flat_map(|logprobs| logprobs.top.iter().map(of)).collect();
        let bytes = self.text_bytes.push(tokenizer, token).to_vec();
        self.tokens.push(TextToken {
            bytes,
            logprob: logprobs.map(|logprobs| logprobs.chosen),
            top,
        });
    }

    /// Takes more of an answer whose log probabilities are wanted, and returns the tokens whose text is
    /// certain with it. The token that ends an answer is no part of its text.
    pub fn more(&mut self, tokenizer: &Tokenizer, delta: &Delta) -> Vec<TextToken> {
        for token in &delta.tokens {
            if let (Some(logprobs), false) = (&token.logprobs, tokenizer.ends_generation(token.id))
            {
                self.push(tokenizer, token.id, Some(logprobs));
            }
        }
        self.take(&delta.text)
    }

    /// How many bytes of the tokens the certain text has, now that `text` is certain too.
    fn n_certain(&mut self, text: &str) -> (usize, usize) {
        self.text_len += text.len();
        let whole: Vec<u8> = self.tokens.iter().flat_map(|token| &token.bytes).copied().collect();
        (n_bytes_read(&whole, self.text_len), whole.len())
    }

    /// The tokens all of whose text is certain, now that `text` is too.
    pub fn take(&mut self, text: &str) -> Vec<TextToken> {
        let (n_certain, n_bytes) = self.n_certain(text);
        let mut end = 0;
        let is_certain = |token: &&TextToken| {
            end += token.bytes.len();
            end <= n_certain
        };
        let n_whole = self.tokens.iter().take_while(is_certain).count();
        let taken = self.tokens[self.n_taken..n_whole].iter_mut();
        let taken = taken.map(|token| TextToken {
            bytes: token.bytes.clone(),
            top: std::mem::take(&mut token.top),
            ..*token
        });
        let taken = taken.collect();
        self.n_taken = n_whole;
        if n_certain == n_bytes {
            (self.n_taken, self.text_len) = (0, 0);
            self.tokens.clear();
        }
        taken
    }

    /// All tokens, whatever their text.
    pub fn all(self) -> Vec<TextToken> {
        self.tokens
    }

    /// The rest of the tokens, where the text ends with `text`: what it does not have is cut off.
    pub fn finish(mut self, text: &str) -> Vec<TextToken> {
        let (mut n_left, _) = self.n_certain(text);
        let is_cut_off = |token: &mut TextToken| {
            let is_cut_off = n_left == 0 && !token.bytes.is_empty();
            token.bytes.truncate(n_left);
            n_left -= token.bytes.len();
            is_cut_off
        };
        let n_said = self.tokens.iter_mut().position(is_cut_off).unwrap_or(self.tokens.len());
        self.tokens.truncate(n_said);
        self.tokens.split_off(self.n_taken.min(n_said))
    }
}

/// The text that bytes are.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many of these bytes are read as the first `text_len` bytes of their text, in which U+FFFD
/// stands for what is no character.
fn n_bytes_read(bytes: &[u8], text_len: usize) -> usize {
    let (mut n_bytes, mut n_left) = (0, text_len);
    for chunk in bytes.utf8_chunks() {
        if n_left <= chunk.valid().len() {
            return n_bytes + n_left;
        }
        n_bytes += chunk.valid().len() + chunk.invalid().len();
        let replaced = if chunk.invalid().is_empty() { "" } else { "\u{FFFD}" };
        n_left = n_left.saturating_sub(chunk.valid().len() + replaced.len());
    }
    n_bytes
}

#[cfg(test)]
mod tests {
    use super::{n_bytes_read, text};

    #[test]
    fn beginnings_of_texts_are_found_in_their_bytes() {
        for bytes in [&b"plain"[..], b"", b"a\xff\xfe\xc3b\xe2\x82", "ä€".as_bytes(), b"\x80"] {
            let text = text(bytes);
            assert_eq!(n_bytes_read(bytes, text.len()), bytes.len());
            for (at, _) in text.char_indices() {
                let n_bytes = n_bytes_read(bytes, at);
                assert_eq!(super::text(&bytes[..n_bytes]), text[..at], "{bytes:?} to {at}");
            }
        }
    }
}
