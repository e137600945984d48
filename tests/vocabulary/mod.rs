//! The vocabularies of `fixtures/tokenizer`, as the metadata of a file.

#![allow(dead_code, reason = "each test uses its part")]

use gatefold::gguf::{Array, Metadata, Value};
use serde_json::Value as Json;

const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

/// Mistral's, of 7B and 8x7B: 32,000 pieces of SentencePiece.
pub fn mistral() -> Metadata {
    let (mut pieces, mut kinds, mut scores) = (vec![], vec![], vec![]);
    for (id, line) in
        include_str!("../fixtures/tokenizer/mistral-v1.vocabulary.txt").lines().enumerate()
    {
        let mut columns = line.split('\t');
        pieces.push(unescape(columns.next().unwrap()));
        kinds.push(columns.next().map_or(NORMAL, |kind| kind.parse().unwrap()));
        scores.push(columns.next().map_or(259.0 - id as f32, |score| score.parse().unwrap()));
    }
    let mut metadata = Metadata::new();
    metadata.set("tokenizer.ggml.model", Value::String("llama".into()));
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(pieces)));
    metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(scores)));
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    metadata.set("tokenizer.ggml.bos_token_id", Value::U32(1));
    metadata.set("tokenizer.ggml.eos_token_id", Value::U32(2));
    metadata.set("tokenizer.ggml.unknown_token_id", Value::U32(0));
    metadata
}

/// SmolLM2's, cut down to its first merges, with the pre-tokenizer of that name.
pub fn smollm2_small(pre_tokenizer: &str) -> Metadata {
    let vocabulary: Json =
        serde_json::from_str(include_str!("../fixtures/tokenizer/smollm2-small.vocabulary.json"))
            .unwrap();
    let strings = |key: &str| -> Vec<String> {
        let list = vocabulary[key].as_array().unwrap();
        list.iter().map(|string| string.as_str().unwrap().to_owned()).collect()
    };
    let (special, merges) = (strings("special"), strings("merges"));
    let mut kinds = vec![CONTROL; special.len()];
    let mut pieces = [special, strings("base")].concat();
    for merge in &merges {
        let joined = merge.replace(' ', "");
        if !pieces.contains(&joined) {
            pieces.push(joined);
        }
    }
    kinds.resize(pieces.len(), NORMAL);
    let mut metadata = Metadata::new();
    metadata.set("tokenizer.ggml.model", Value::String("gpt2".into()));
    metadata.set("tokenizer.ggml.pre", Value::String(pre_tokenizer.into()));
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(pieces)));
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    metadata.set("tokenizer.ggml.merges", Value::Array(Array::String(merges)));
    metadata.set("tokenizer.ggml.bos_token_id", Value::U32(1));
    metadata.set("tokenizer.ggml.eos_token_id", Value::U32(2));
    metadata.set("tokenizer.ggml.add_bos_token", Value::Bool(false));
    metadata
}

fn unescape(piece: &str) -> String {
    let mut text = String::new();
    let mut chars = piece.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                other => other.unwrap(),
            },
            c => c,
        });
    }
    text
}
