//! Log probabilities, as the two endpoints write them.

use super::line::Prompt;
use gatefold::engine::{Generated, TokenLogprobs};
use gatefold::tokenizer::{TextBytes, Tokenizer};
use serde::Serialize;
use std::collections::BTreeMap;

/// The log probabilities of an answer. The tokens are those of its text, and together they are the
/// text: without what a stop string has cut off, and without the space that separates an answer in a
/// chat from its prompt.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Logprobs {
    Chat { content: Vec<ChatLogprob>, refusal: () },
    Text(TextLogprobs),
}

#[derive(Debug, Serialize)]
pub(super) struct ChatLogprob {
    #[serde(flatten)]
    chosen: TokenLogprob,
    top_logprobs: Vec<TokenLogprob>,
}

#[derive(Debug, Serialize)]
struct TokenLogprob {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

/// Four arrays in parallel.
#[derive(Debug, Default, Serialize)]
pub(super) struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f32>,
    top_logprobs: Vec<BTreeMap<String, f32>>,
    /// Characters of the answer before the token.
    text_offset: Vec<usize>,
}

/// A token with what it adds to the text.
struct Said<'a> {
    bytes: &'a [u8],
    logprob: f32,
    /// The most probable tokens, with what they would have added.
    top: Vec<(&'a [u8], f32)>,
}

impl Logprobs {
    /// Those of the answer to a prompt.
    pub fn new(tokenizer: &Tokenizer, prompt: &Prompt, generated: &Generated) -> Logprobs {
        match prompt {
            Prompt::Chat(_) => Logprobs::chat(said(tokenizer, generated, true)),
            Prompt::Texts(_) => Logprobs::text(said(tokenizer, generated, false)),
        }
    }

    fn chat(said: Vec<Said<'_>>) -> Logprobs {
        let token = |bytes: &[u8], logprob| TokenLogprob {
            token: text(bytes),
            logprob,
            bytes: bytes.to_vec(),
        };
        let content = said.into_iter().map(|Said { bytes, logprob, top }| ChatLogprob {
            chosen: token(bytes, logprob),
            top_logprobs: top.into_iter().map(|(bytes, logprob)| token(bytes, logprob)).collect(),
        });
        Logprobs::Chat { content: content.collect(), refusal: () }
    }

    fn text(said: Vec<Said<'_>>) -> Logprobs {
        let mut arrays = TextLogprobs::default();
        let mut n_chars = 0;
        for Said { bytes, logprob, top } in said {
            let token = text(bytes);
            arrays.text_offset.push(n_chars);
            n_chars += token.chars().count();
            arrays.tokens.push(token);
            arrays.token_logprobs.push(logprob);
            let mut of_texts = BTreeMap::new();
            for (bytes, logprob) in top {
                // Of tokens with one text, the most probable comes first.
                of_texts.entry(text(bytes)).or_insert(logprob);
            }
            arrays.top_logprobs.push(of_texts);
        }
        Logprobs::Text(arrays)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The tokens of the text of an answer.
fn said<'t>(tokenizer: &'t Tokenizer, generated: &Generated, is_own_text: bool) -> Vec<Said<'t>> {
    let mut text_bytes = TextBytes::new(is_own_text);
    // The token that ends an answer is no part of it.
    let is_said = |(token, _): &(&u32, &TokenLogprobs)| !tokenizer.ends_generation(**token);
    let tokens = generated.tokens.iter().zip(&generated.logprobs).filter(is_said);
    let mut said: Vec<Said<'t>> = tokens
        .map(|(&token, logprobs)| {
            let of = |&(token, logprob)| (text_bytes.of(tokenizer, token), logprob);
            let top = logprobs.top.iter().map(of).collect();
            Said { bytes: text_bytes.push(tokenizer, token), logprob: logprobs.chosen, top }
        })
        .collect();
    let whole: Vec<u8> = said.iter().flat_map(|said| said.bytes).copied().collect();
    let mut n_left = n_bytes_read(&whole, generated.text.len());
    let is_cut_off = |said: &mut Said<'_>| {
        let is_cut_off = n_left == 0 && !said.bytes.is_empty();
        said.bytes = &said.bytes[..said.bytes.len().min(n_left)];
        n_left -= said.bytes.len();
        is_cut_off
    };
    let n_said = said.iter_mut().position(is_cut_off).unwrap_or(said.len());
    said.truncate(n_said);
    said
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
