//! Names of pieces of work.

use gatefold::LanguageModel;
use gatefold::engine::{NUMERICS_REVISION, Options};
use gatefold::text::hex;
use gatefold::tokenizer::{ChatTemplate, Origin};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Identifies a piece of work by everything that its result depends on: SHA-256 over labelled
/// parts, such as text, model, prompt and sampling.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Key(String);

impl Key {
    /// The key of labelled parts; neither labels nor parts can run into each other.
    pub fn of(parts: &[(&str, &[u8])]) -> Key {
        let mut digest = Sha256::new();
        for bytes in parts.iter().flat_map(|(label, part)| [label.as_bytes(), part]) {
            digest.update((bytes.len() as u64).to_le_bytes());
            digest.update(bytes);
        }
        Key(hex(digest.finalize()))
    }

    /// Stands for everything that an answer depends on besides what is asked: the model, how it
    /// runs, the arithmetic of this program, the template in the place of its own, and the date that
    /// this was given to tell it.
    pub fn of_model(model: &LanguageModel, template: &ChatTemplate, options: &Options) -> Key {
        let parts = Key::parts_of_model(model, template, options);
        let parts: Vec<(&str, &[u8])> =
            parts.iter().map(|(name, part)| (*name, &part[..])).collect();
        Key::of(&parts)
    }

    /// What [`Self::of_model`] stands for, by name.
    pub(super) fn parts_of_model(
        model: &LanguageModel,
        template: &ChatTemplate,
        options: &Options,
    ) -> Vec<(&'static str, Vec<u8>)> {
        let mut parts = vec![
            ("revision", NUMERICS_REVISION.to_le_bytes().to_vec()),
            ("model", model.cache_fingerprint(options.context_len).to_vec()),
            ("cache", options.cache_format.name.into()),
            ("context", options.context_len.to_le_bytes().to_vec()),
        ];
        parts.extend(template.given_date().map(|date| ("date", date.to_string().into())));
        // The file's own is a part of the model, and the fallback one of the program.
        if matches!(template.origin(), Origin::Given | Origin::Vocabulary) {
            parts.push(("template", template.source().into()));
        }
        if template.is_strict() {
            parts.push(("strict", b"template".to_vec()));
        }
        parts
    }

    /// As text: 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Key {
    type Error = &'static str;

    /// The key with this text.
    fn try_from(text: String) -> Result<Key, &'static str> {
        let is_digit = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match text.len() == 64 && text.bytes().all(is_digit) {
            true => Ok(Key(text)),
            false => Err("a key has 64 hexadecimal digits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let parts: [&[(&str, &[u8])]; 7] = [
            &[],
            &[("", b"")],
            &[("ab", b"c")],
            &[("a", b"bc")],
            &[("a", b"b"), ("c", b"")],
            &[("a", b""), ("b", b"c")],
            &[("ab", b"c"), ("", b"")],
        ];
        let keys: Vec<Key> = parts.iter().map(|parts| Key::of(parts)).collect();
        for (idx, key) in keys.iter().enumerate() {
            assert!(!keys[..idx].contains(key), "{:?}", parts[idx]);
            assert_eq!(Key::try_from(key.as_str().to_owned()).as_ref(), Ok(key));
        }
    }

    #[test]
    fn other_text_is_no_key() {
        for text in ["", "0", &"g".repeat(64), &"0".repeat(63), &"é".repeat(32)] {
            assert!(Key::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
