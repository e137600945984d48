//! Byte-level byte-pair encoding, as GPT-2 introduced it: each byte is spelled as a printable
//! character, and pairs are merged by rank inside of pre-tokens.

use super::bpe::Bpe;
use super::error::TokenizerError;
use super::pre_tokenizer::{PreTokenizer, Splitter};
use std::collections::HashMap;

/// The merges and the pre-tokenizer of a vocabulary.
pub(super) struct ByteLevel {
    splitter: Splitter,
    bpe: Bpe,
    alphabet: [char; 256],
}

impl ByteLevel {
    pub(super) fn new(
        pieces: &[String],
        merges: &[(String, String)],
        pre_tokenizer: &'static PreTokenizer,
    ) -> Result<ByteLevel, TokenizerError> {
        let bpe = Bpe::new(pieces, merges, pre_tokenizer.ignores_merges)?;
        Ok(ByteLevel { splitter: pre_tokenizer.compile(), bpe, alphabet: alphabet() })
    }

    /// Appends the ids of a text. Bytes that the vocabulary has no piece for have no id.
    pub(super) fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), TokenizerError> {
        let mut spelled = String::new();
        self.splitter.split(text, &mut |pre_token| {
            spelled.clear();
            spelled.extend(pre_token.bytes().map(|byte| self.alphabet[usize::from(byte)]));
            self.bpe.encode(&spelled, ids)
        })
    }
}

/// The character that spells each byte: printable Latin-1 characters spell themselves, the other
/// bytes, in order, the characters from U+0100 on.
fn alphabet() -> [char; 256] {
    let mut others = '\u{100}'..;
    std::array::from_fn(|byte| match byte as u8 {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte as u8),
        _ => others.next().expect("there are more characters than bytes"),
    })
}

/// The bytes that pieces spell.
pub(super) struct Speller {
    bytes: HashMap<char, u8>,
}

impl Speller {
    pub(super) fn new() -> Speller {
        Speller { bytes: alphabet().into_iter().zip(0..=255).collect() }
    }

    /// The bytes of a piece; of one that is not spelled in the alphabet, its own.
    pub(super) fn bytes(&self, piece: &str) -> Vec<u8> {
        let spelled: Option<Vec<u8>> = piece.chars().map(|c| self.bytes.get(&c).copied()).collect();
        spelled.unwrap_or_else(|| piece.as_bytes().to_vec())
    }
}
