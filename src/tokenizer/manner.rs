//! How tokens that no merges lead to are found in a text, where they are not just cut out wherever
//! they are spelled.

use super::error::TokenizerError;
use super::keys::{LSTRIP, NORMALIZED, RSTRIP, SINGLE_WORD, SYMBOLS};
use crate::gguf::Metadata;
#[cfg(feature = "checkpoints")]
use crate::gguf::{Array, Value};
use std::collections::HashMap;

/// How a token is found in a text: what Hugging Face's `tokenizers` and SentencePiece know and a
/// GGUF of llama.cpp's does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// It takes the white space before it.
    pub lstrip: bool,
    /// It takes the white space behind it.
    pub rstrip: bool,
    /// It is none in the middle of a word.
    pub single_word: bool,
    /// It is looked for after the others; where a space is put before every stretch of text, with
    /// that space, in what lies between the others.
    pub normalized: bool,
    /// It is a symbol of SentencePiece, and as such a part of the text: it is found once spaces are
    /// spelled as U+2581, and what follows it is no new stretch.
    pub symbol: bool,
}

type Flag = fn(&mut Manner) -> &mut bool;

/// The keys, which list ids.
const FLAGS: [(&str, Flag); 5] = [
    (LSTRIP, |manner| &mut manner.lstrip),
    (RSTRIP, |manner| &mut manner.rstrip),
    (SINGLE_WORD, |manner| &mut manner.single_word),
    (NORMALIZED, |manner| &mut manner.normalized),
    (SYMBOLS, |manner| &mut manner.symbol),
];

/// The manners of the tokens whose ids the file lists; all are below `n_pieces`.
pub(super) fn manners(
    metadata: &Metadata,
    n_pieces: usize,
) -> Result<HashMap<u32, Manner>, TokenizerError> {
    let mut manners: HashMap<u32, Manner> = HashMap::new();
    for (key, flag) in FLAGS {
        for id in metadata.i64s(key)?.unwrap_or_default() {
            match u32::try_from(id) {
                Ok(id) if (id as usize) < n_pieces => *flag(manners.entry(id).or_default()) = true,
                _ => {
                    let (id, last) = (id.into(), n_pieces as u32 - 1);
                    return Err(TokenizerError::IdOutOfRange { key, id, last });
                }
            }
        }
    }
    Ok(manners)
}

/// Sets the keys that list the ids of tokens with a manner.
#[cfg(feature = "checkpoints")]
pub(crate) fn set(manners: &[(u32, Manner)], metadata: &mut Metadata) {
    for (key, flag) in FLAGS {
        let has = |&&(_, mut manner): &&(u32, Manner)| *flag(&mut manner);
        let ids: Vec<u32> = manners.iter().filter(has).map(|&(id, _)| id).collect();
        if !ids.is_empty() {
            metadata.set(key, Value::Array(Array::U32(ids)));
        }
    }
}
