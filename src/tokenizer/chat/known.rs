//! The chat formats that are known by name, and how a vocabulary tells which is its own.
//!
//! A format has the name that llama.cpp gives it, where it has one there. A template refuses what
//! the format has no place for; that is [folded](super::fold) then.

use super::super::Tokenizer;

/// The format of 8x7B, and of whoever says nothing of theirs.
pub(super) const FALLBACK: &str = "mistral-v1";

macro_rules! formats {
    ($($name:literal,)*) => {
        [$(($name, include_str!(concat!("templates/", $name, ".jinja")))),*]
    };
}

/// All formats by name, with their templates.
const FORMATS: [(&str, &str); 26] = formats![
    "alpaca",
    "chatml",
    "command-r",
    "deepseek",
    "deepseek2",
    "deepseek3",
    "exaone3",
    "falcon3",
    "gemma",
    "granite",
    "llama2",
    "llama3",
    "minicpm",
    "mistral-v1",
    "mistral-v3",
    "mistral-v3-tekken",
    "mistral-v7",
    "mistral-v7-tekken",
    "monarch",
    "openchat",
    "orion",
    "phi3",
    "phi4",
    "vicuna",
    "vicuna-orca",
    "zephyr",
];

/// Further names.
const ALIASES: [(&str, &str); 7] = [
    ("llama2-sys", "llama2"),
    ("llama2-sys-bos", "llama2"),
    ("llama2-sys-strip", "llama2"),
    ("llama-2", "llama2"),
    ("llama-3", "llama3"),
    ("mistral", "mistral-v1"),
    ("mistral-v2", "mistral-v3"),
];

/// Tokens that no vocabulary has but for a format, the more particular first. Of Mistral's newer
/// ones there is a second, for vocabularies that put no space before a text.
const MARKS: [(&[&str], &str, &str); 15] = [
    (&["<|im_start|>", "<|im_sep|>", "<|im_end|>"], "phi4", "phi4"),
    (&["<|im_start|>", "<|im_end|>"], "chatml", "chatml"),
    (&["<|start_header_id|>", "<|eot_id|>"], "llama3", "llama3"),
    (&["<start_of_turn>", "<end_of_turn>"], "gemma", "gemma"),
    (&["<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>"], "command-r", "command-r"),
    (&["<|start_of_role|>", "<|end_of_role|>"], "granite", "granite"),
    (&["[|assistant|]", "[|endofturn|]"], "exaone3", "exaone3"),
    (&["<｜User｜>", "<｜Assistant｜>"], "deepseek3", "deepseek3"),
    (&["<|user|>", "<|assistant|>", "<|end|>"], "phi3", "phi3"),
    (&["<|user|>", "<|assistant|>"], "zephyr", "zephyr"),
    (&["<|end_of_turn|>"], "openchat", "openchat"),
    (&["<用户>", "<AI>"], "minicpm", "minicpm"),
    (&["<|EOT|>"], "deepseek", "deepseek"),
    (&["[SYSTEM_PROMPT]", "[INST]"], "mistral-v7", "mistral-v7-tekken"),
    (&["[INST]", "[/INST]"], "mistral-v3", "mistral-v3-tekken"),
];

/// The names of all formats.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|(name, _)| *name)
}

/// A format and its template, by one of its names in any case.
pub(super) fn by_name(name: &str) -> Option<(&'static str, &'static str)> {
    let name = name.to_ascii_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name.as_str(), |(_, name)| name);
    let found = FORMATS.iter().find(|(known, _)| *known == name)?;
    // The newline that ends a file is no part of its template.
    Some((found.0, found.1.trim_end()))
}

/// The name of the format that a vocabulary has tokens for.
pub(super) fn told_by(tokenizer: &Tokenizer) -> Option<&'static str> {
    let has_all = |marks: &[&str]| marks.iter().all(|mark| tokenizer.has_piece(mark));
    let (_, spaced, plain) = MARKS.into_iter().find(|(marks, ..)| has_all(marks))?;
    Some(if tokenizer.adds_space_prefix() { spaced } else { plain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_template() {
        let told = MARKS.iter().flat_map(|(_, spaced, plain)| [spaced, plain]);
        let aliased = ALIASES.iter().map(|(_, name)| name);
        for &name in told.chain(aliased).chain([&FALLBACK]) {
            assert_eq!(by_name(name).map(|(found, _)| found), Some(name));
        }
        assert_eq!(by_name("ChatML"), by_name("chatml"));
        assert!(names().is_sorted());
    }
}
