//! Vocabularies in the metadata of a GGUF.
//!
//! The parts of an input are settings, a byte each; pieces, one a line; their kinds and scores, a byte
//! each; merges, one a line; and a text to encode.

use super::tokenizer_json::encode;
use crate::{accepted, joined, parts, text};
use gatefold::gguf::{Array, Metadata, Value};
use gatefold::tokenizer::{PreTokenizer, Tokenizer};

/// Makes metadata of the parts, and a tokenizer of that.
pub fn run(bytes: &[u8]) {
    let [settings, pieces, kinds, scores, merges, text_bytes] = parts(bytes);
    let lines = |bytes| -> Vec<String> { text(bytes).split('\n').map(str::to_owned).collect() };
    let pieces = lines(pieces);
    let n_pieces = pieces.len();
    let numbers = |bytes: &[u8]| -> Vec<i32> {
        (0..n_pieces).map(|idx| bytes.get(idx).map_or(1, |&byte| i32::from(byte as i8))).collect()
    };
    let setting = |idx: usize| settings.get(idx).copied().unwrap_or(u8::MAX);

    let mut metadata = Metadata::new();
    let mut set = |key: &str, value| metadata.set(format!("tokenizer.ggml.{key}"), value);
    let scores: Vec<f32> = numbers(scores).into_iter().map(|score| score as f32).collect();
    set("model", Value::String(if setting(0) % 2 == 0 { "llama" } else { "gpt2" }.into()));
    let names = PreTokenizer::names();
    let names: Vec<&str> = names.split(['`', ',', ' ']).filter(|name| !name.is_empty()).collect();
    set("pre", Value::String(names[usize::from(setting(1)) % names.len()].into()));
    set("tokens", Value::Array(Array::String(pieces)));
    set("token_type", Value::Array(Array::I32(numbers(kinds))));
    set("scores", Value::Array(Array::F32(scores)));
    set("merges", Value::Array(Array::String(lines(merges))));
    for (idx, name) in (2..).zip(["bos", "eos", "unknown", "eot"]) {
        if setting(idx) != u8::MAX {
            set(&format!("{name}_token_id"), Value::U32(setting(idx).into()));
        }
    }
    set("add_bos_token", Value::Bool(setting(6) % 2 == 0));
    set("add_space_prefix", Value::Bool(setting(7) % 2 == 0));

    if let Some(tokenizer) = accepted(Tokenizer::from_metadata(&metadata)) {
        encode(&tokenizer, &text(text_bytes));
    }
}

/// A vocabulary of each kind.
pub fn seeds() -> Vec<Vec<u8>> {
    let sentencepiece: [&[u8]; 6] = [
        &[0, 0, 1, 2, 0, 9, 0, 0],
        "<unk>\n<s>\n</s>\n<0x0A>\n▁\na\nb\nab\n▁ab\n<x>".as_bytes(),
        &[2, 3, 3, 6, 1, 1, 1, 1, 1, 4],
        &[0, 0, 0, 0, 1, 2, 3, 4, 5, 0],
        b"",
        "ab a\n<x></s> é".as_bytes(),
    ];
    let byte_level: [&[u8]; 6] = [
        &[1, 1, 0, 0, 1, 1, 1, 1],
        "<s>\na\nb\nĠ\nab\nĠab\nĊ\n<x>".as_bytes(),
        &[3, 1, 1, 1, 1, 1, 1, 4],
        b"",
        "a b\nĠ ab".as_bytes(),
        "ab a\n<x>12 é".as_bytes(),
    ];
    vec![joined(&sentencepiece), joined(&byte_level)]
}
