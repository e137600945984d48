//! Log probabilities, as conversations and texts write them.

use super::endpoint::Endpoint;
use super::text_tokens::{TextToken, text};
use serde::Serialize;
use std::collections::BTreeMap;

/// The log probabilities of an answer. The tokens are those of its text, and together they are the
/// text: without what a stop string has cut off, and without the space that separates an answer in a
/// chat from its prompt.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Logprobs {
    /// Of conversations.
    Chat {
        /// A token after the other.
        content: Vec<ChatLogprob>,
        /// What OpenAI's models have to say where they refuse.
        refusal: (),
    },
    /// Of texts.
    Text(TextLogprobs),
}

/// A token, and the most probable ones.
#[derive(Debug, Serialize)]
pub struct ChatLogprob {
    #[serde(flatten)]
    chosen: TokenLogprob,
    top_logprobs: Vec<TokenLogprob>,
}

#[derive(Debug, Serialize)]
struct TokenLogprob {
    token: String,
    logprob: Option<f32>,
    bytes: Vec<u8>,
}

/// Four arrays in parallel. The first token of a prompt follows nothing, and has no log probability.
#[derive(Debug, Default, Serialize)]
pub struct TextLogprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f32>>,
    top_logprobs: Vec<Option<BTreeMap<String, f32>>>,
    /// Characters of the text before the token.
    text_offset: Vec<usize>,
}

impl Logprobs {
    /// Those of tokens that follow `n_chars` characters, which are then counted too.
    pub(super) fn new(endpoint: Endpoint, tokens: Vec<TextToken>, n_chars: &mut usize) -> Logprobs {
        match endpoint {
            Endpoint::Chat | Endpoint::Responses => {
                Logprobs::Chat { content: chat_logprobs(tokens), refusal: () }
            }
            Endpoint::Texts => Logprobs::Text(TextLogprobs::new(tokens, n_chars)),
        }
    }
}

/// Those of a text in a conversation.
pub(super) fn chat_logprobs(tokens: Vec<TextToken>) -> Vec<ChatLogprob> {
    let token = |bytes: Vec<u8>, logprob| TokenLogprob { token: text(&bytes), logprob, bytes };
    let top = |top: Vec<(Vec<u8>, f32)>| {
        top.into_iter().map(|(bytes, logprob)| token(bytes, Some(logprob))).collect()
    };
    let tokens = tokens.into_iter().map(|TextToken { bytes, logprob, top: others }| ChatLogprob {
        chosen: token(bytes, logprob),
        top_logprobs: top(others),
    });
    tokens.collect()
}

impl TextLogprobs {
    fn new(tokens: Vec<TextToken>, n_chars: &mut usize) -> TextLogprobs {
        let mut arrays = TextLogprobs::default();
        for TextToken { bytes, logprob, top } in tokens {
            let token = text(&bytes);
            arrays.text_offset.push(*n_chars);
            *n_chars += token.chars().count();
            arrays.tokens.push(token);
            arrays.token_logprobs.push(logprob);
            let mut of_texts = BTreeMap::new();
            for (bytes, logprob) in top {
                // Of tokens with one text, the most probable comes first.
                of_texts.entry(text(&bytes)).or_insert(logprob);
            }
            arrays.top_logprobs.push(logprob.map(|_| of_texts));
        }
        arrays
    }
}
