//! Byte-level tokenizers: the name that a GGUF has for what cuts a text into pre-tokens.

use super::steps::{Step, describe, unsupported};
use crate::checkpoint::error::VocabularyProblem;
use crate::tokenizer::PreTokenizer;

/// The name in `tokenizer.ggml.pre` of the pre-tokenizer that these steps make.
///
/// Qwen 2 normalizes texts to NFC first, which no GGUF's tokenizer does; text is so with rare
/// exceptions, and the step is passed over.
pub(super) fn pre_tokenizer(
    normalizer: &[&Step],
    steps: &[&Step],
    ignores_merges: bool,
) -> Result<&'static str, VocabularyProblem> {
    let is_plain = normalizer.iter().all(|step| step.kind == "NFC");
    let (pattern, isolates_digits, by_own_regex) = match steps {
        [byte_level] => (None, false, byte_level),
        [digits, byte_level] if digits.individual_digits == Some(true) => (None, true, byte_level),
        [split, byte_level] if split.isolated_regex().is_some() => {
            (split.isolated_regex(), false, byte_level)
        }
        _ => return Err(unsupported(describe(normalizer, steps))),
    };
    let cuts_once = by_own_regex.use_regex.unwrap_or(true) == pattern.is_none();
    let adds_space = by_own_regex.add_prefix_space.unwrap_or(true);
    if !is_plain || !cuts_once || adds_space || by_own_regex.kind != "ByteLevel" {
        return Err(unsupported(describe(normalizer, steps)));
    }
    let known = PreTokenizer::defined_by(pattern, isolates_digits);
    // Files of Llama 3 got this flag late, and those of tekken work without it: their merges lead to
    // every piece.
    match known.filter(|known| known.ignores_merges || !ignores_merges) {
        Some(known) => Ok(known.name()),
        None => Err(unsupported(describe(normalizer, steps))),
    }
}
