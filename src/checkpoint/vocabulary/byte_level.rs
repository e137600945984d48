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
    let Some((spelling, cuts)) = steps.split_last() else {
        return Err(unsupported(describe(normalizer, steps)));
    };
    let is_plain = normalizer.iter().all(|step| step.kind == "NFC");
    let mut patterns: Option<Vec<&str>> = cuts.iter().map(|step| step.cut_pattern()).collect();
    if spelling.use_regex.unwrap_or(true) {
        patterns.iter_mut().for_each(|all| all.push(PreTokenizer::BUILT_IN_PATTERN));
    }
    let adds_space = spelling.add_prefix_space.unwrap_or(true);
    if !is_plain || adds_space || spelling.kind != "ByteLevel" {
        return Err(unsupported(describe(normalizer, steps)));
    }
    let known = patterns.and_then(|patterns| PreTokenizer::defined_by(&patterns));
    // Files of Llama 3 got this flag late, and those of tekken work without it: their merges lead to
    // every piece.
    match known.filter(|known| known.ignores_merges || !ignores_merges) {
        Some(known) => Ok(known.name()),
        None => Err(unsupported(describe(normalizer, steps))),
    }
}
