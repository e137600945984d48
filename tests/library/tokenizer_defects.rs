//! Vocabularies whose files leave something out, or say what cannot be right.

use gatefold::gguf::{Array, Metadata, Value};
use gatefold::tokenizer::{Specials, Tokenizer};
use gatefold_fixtures::vocabulary;
use serde_json::Value as Json;

const SCORES: &str = "tokenizer.ggml.scores";
const TYPES: &str = "tokenizer.ggml.token_type";
const PRE: &str = "tokenizer.ggml.pre";

fn without(metadata: &Metadata, key: &str) -> Metadata {
    let mut rest = Metadata::new();
    for (name, value) in metadata.iter().filter(|(name, _)| *name != key) {
        rest.set(name, value.clone());
    }
    rest
}

fn with(mut metadata: Metadata, key: &str, value: Value) -> Metadata {
    metadata.set(key, value);
    metadata
}

#[track_caller]
fn noted(metadata: &Metadata, expected: &str) -> Tokenizer {
    let tokenizer = Tokenizer::from_metadata(metadata).unwrap();
    let notes = tokenizer.notes();
    assert!(notes.len() == 1 && notes[0].contains(expected), "{notes:?}");
    tokenizer
}

#[track_caller]
fn assert_mistrals_ids(tokenizer: &Tokenizer) {
    let texts: Vec<Json> =
        serde_json::from_str(include_str!("../fixtures/tokenizer/mistral-v1.texts.json")).unwrap();
    for row in texts {
        let text = row["text"].as_str().unwrap();
        let ids = tokenizer.encode(text, Specials::AsText).unwrap();
        assert_eq!(serde_json::json!(ids), row["ids"], "{text:?}");
    }
}

#[test]
fn a_sound_file_has_no_notes() {
    for metadata in [vocabulary::mistral(), vocabulary::smollm2_small("smollm")] {
        assert!(Tokenizer::from_metadata(&metadata).unwrap().notes().is_empty());
    }
}

#[test]
fn scores_that_say_nothing_leave_the_ids_of_sentencepiece() {
    let mistral = vocabulary::mistral();
    let equal = |score| Value::Array(Array::F32(vec![score; 32_000]));
    for score in [0.0, -1000.0] {
        let metadata = with(mistral.clone(), SCORES, equal(score));
        assert_mistrals_ids(&noted(&metadata, "lower ids"));
    }
    assert_mistrals_ids(&noted(&without(&mistral, SCORES), "`tokenizer.ggml.scores` are missing"));
}

/// The merges lead to other ids than the order of the pieces.
#[test]
fn merges_count_where_scores_say_nothing() {
    let mut metadata = Metadata::new();
    let strings = |strings: &[&str]| {
        Value::Array(Array::String(strings.iter().map(|&string| string.to_owned()).collect()))
    };
    metadata.set("tokenizer.ggml.model", Value::String("llama".into()));
    metadata.set("tokenizer.ggml.tokens", strings(&["<unk>", "a", "b", "c", "ab", "bc"]));
    metadata.set(TYPES, Value::Array(Array::I32(vec![2, 1, 1, 1, 1, 1])));
    metadata.set("tokenizer.ggml.add_space_prefix", Value::Bool(false));
    let ids = |tokenizer: &Tokenizer| tokenizer.encode("abc", Specials::AsText).unwrap();
    assert_eq!(ids(&noted(&metadata, "lower ids")), [4, 3]);
    metadata.set("tokenizer.ggml.merges", strings(&["b c", "a b"]));
    assert_eq!(ids(&noted(&metadata, "the order of `tokenizer.ggml.merges`")), [1, 5]);
}

#[test]
fn types_that_are_missing_or_none_are_told_from_the_pieces() {
    let mistral = vocabulary::mistral();
    let tokenizer = noted(&without(&mistral, TYPES), "`tokenizer.ggml.token_type` is missing");
    assert_mistrals_ids(&tokenizer);
    assert!(tokenizer.encode("</s>", Specials::AsText).unwrap().iter().all(|&id| id > 2));
    assert_eq!(tokenizer.encode("</s>", Specials::Parse).unwrap(), [2]);

    let mut types = mistral.i64s(TYPES).unwrap().unwrap();
    types.iter_mut().filter(|kind| **kind == 1).step_by(7).for_each(|kind| *kind = 0);
    let types = types.into_iter().map(|kind| kind as i32).collect();
    assert_mistrals_ids(&noted(&with(mistral, TYPES, Value::Array(Array::I32(types))), "has 0"));
}

#[test]
fn marks_that_are_called_text_are_control_tokens() {
    let sound = vocabulary::smollm2_small("smollm");
    let end = sound.strings("tokenizer.ggml.tokens").unwrap().unwrap();
    let end = end.iter().position(|piece| piece == "<|im_end|>").unwrap() as u32;
    for kind in [1, 5, 0] {
        let mut types: Vec<i32> =
            sound.i64s(TYPES).unwrap().unwrap().into_iter().map(|kind| kind as i32).collect();
        types[end as usize] = kind;
        let types = Value::Array(Array::I32(types));
        let tokenizer = Tokenizer::from_metadata(&with(sound.clone(), TYPES, types)).unwrap();
        assert!(tokenizer.notes().iter().any(|note| note.contains("`<|im_end|>`")));
        assert!(tokenizer.ends_generation(end));
        assert_eq!(tokenizer.encode("<|im_end|>", Specials::Parse).unwrap(), [end]);
        assert!(!tokenizer.encode("<|im_end|>", Specials::AsText).unwrap().contains(&end));
    }
}

/// As files of early 2024 are.
#[test]
fn llama_3_is_known_without_a_name() {
    let special = ["<|begin_of_text|>", "<|end_of_text|>", "<|reserved_special_token_0|>"];
    let mut pieces: Vec<String> = (0..128_000).map(|id| format!("{id}x")).collect();
    pieces[0] = "!".into();
    pieces[1] = "1".into();
    pieces[2] = "11".into();
    pieces[3] = "111".into();
    pieces.extend(special.map(str::to_owned));
    let types = (0..pieces.len()).map(|id| if id < 128_000 { 1 } else { 3 }).collect();
    let merges = vec!["1 1".to_owned(), "11 1".to_owned()];
    let mut metadata = Metadata::new();
    metadata.set("tokenizer.ggml.model", Value::String("gpt2".into()));
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(pieces)));
    metadata.set(TYPES, Value::Array(Array::I32(types)));
    metadata.set("tokenizer.ggml.merges", Value::Array(Array::String(merges)));
    for metadata in [metadata.clone(), with(metadata.clone(), PRE, Value::String("default".into()))]
    {
        let tokenizer = noted(&metadata, "`llama-bpe`");
        assert_eq!(tokenizer.encode_text("1111!").unwrap(), [128_000, 3, 1, 0]);
    }
    let named = with(metadata, PRE, Value::String("llama-bpe".into()));
    assert!(Tokenizer::from_metadata(&named).unwrap().notes().is_empty());
    noted(&vocabulary::smollm2_small("default"), "GPT-2's is used");
}
