//! Forms that answers are to have, as clients of the server ask for them.
//!
//! The parts of an input are the form's language, one byte; the form; and choices among the tokens that
//! it allows, a byte each.

use super::chat_template::tokenizer;
use crate::{accepted, joined, parts, text};
use gatefold::constraint::Constraint;
use gatefold::grammar::{Grammars, Source};
use gatefold::tokenizer::Tokenizer;
use std::sync::OnceLock;

/// Compiles the form, and goes through it as an answer would.
pub fn run(bytes: &[u8]) {
    let [language, form, choices] = parts(bytes);
    static GRAMMARS: OnceLock<(Tokenizer, Grammars)> = OnceLock::new();
    let (tokenizer, grammars) = GRAMMARS.get_or_init(|| {
        let tokenizer = tokenizer();
        let grammars = Grammars::new(&tokenizer).expect("the vocabulary spells every byte");
        (tokenizer, grammars)
    });
    let form = text(form);
    let source = match language.first() {
        Some(b'r') => Source::Regex(form),
        Some(b'l') => Source::Lark(form),
        Some(b'g') => Source::Gbnf(form),
        _ => match serde_json::from_str(&form) {
            Ok(schema) => Source::JsonSchema(schema),
            Err(_) => return,
        },
    };
    let Some(grammar) = accepted(grammars.compile(&source)) else { return };
    let mut state = grammar.begin(true);
    for &choice in choices.iter().take(64) {
        let Some(allowed) = accepted(state.allowed()) else { return };
        let ids = (0..tokenizer.n_vocab() as u32).filter(|&id| allowed.contains(id));
        let ids: Vec<u32> = ids.collect();
        assert!(!ids.is_empty(), "it neither goes on nor ends");
        let id = ids[usize::from(choice) % ids.len()];
        if tokenizer.ends_generation(id) || accepted(state.push(id)).is_none() {
            return;
        }
        if state.is_complete() {
            return;
        }
    }
}

/// Forms in every language.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        ("s", r#"{"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"enum": ["x", null]}}, "required": ["a"], "additionalProperties": false}"#),
        ("s", r##"{"$defs": {"t": {"anyOf": [{"type": "null"}, {"items": {"$ref": "#/$defs/t"}, "maxItems": 2}]}}, "$ref": "#/$defs/t"}"##),
        ("s", r#"{"type": "string", "pattern": "^[a-c]{2,}$", "maxLength": 9, "format": "date"}"#),
        ("s", r#"{"allOf": [{"type": "number", "multipleOf": 0.5}, {"exclusiveMaximum": 9}]}"#),
        ("r", r"(ab?|[^\d\s]{1,3})+\.(?i:x)"),
        ("l", "start: item (\",\" item)*\nitem: WORD | \"(\" start \")\"\nWORD: /[a-z]+/ & ~/.*q.*/\n%ignore / /"),
        ("g", "root ::= (\"a\" | [^b-d\\n])+ tail{1,2} # x\ntail ::= \"\\x41\" root?"),
    ]
    .map(|(language, form)| joined(&[language.as_bytes(), form.as_bytes(), b"\x01\x30\x7f a9"]))
    .into()
}
