//! Spaces and added tokens in texts are what the tokenizer's own library makes of them.

use crate::tokenizer_folder::{BYTE_LEVEL, LLAMA, MODEL, changed, read};
use gatefold::gguf::Metadata;
use gatefold::tokenizer::{Specials, Tokenizer};
use serde_json::{Map, Value as Json, json};

/// A SentencePiece model with symbols that its user defined: 320 pieces.
const SYMBOLS: &[u8] = include_bytes!("../fixtures/spaces/symbols.model");

fn tokenizers() -> Json {
    serde_json::from_str(include_str!("../fixtures/spaces/tokenizers.json")).unwrap()
}

/// Asserts that texts get the ids that `reference` gives them.
#[track_caller]
fn assert_ids(metadata: &Metadata, reference: &str) {
    let tokenizer = Tokenizer::from_metadata(metadata).unwrap();
    let rows: Vec<Map<String, Json>> =
        serde_json::from_str(include_str!("../fixtures/spaces/texts.json")).unwrap();
    assert!(rows.len() > 90);
    for row in rows {
        let text = row["text"].as_str().unwrap();
        let as_text = row.get(&format!("{reference}, as text"));
        for (specials, expected) in
            [(Specials::Parse, row.get(reference)), (Specials::AsText, as_text)]
        {
            let Some(expected) = expected else { continue };
            let found = tokenizer.encode(text, specials).unwrap();
            assert_eq!(json!(found), *expected, "{reference}, {specials:?}: {text:?}");
        }
    }
}

#[test]
fn spaces_are_put_where_the_steps_of_tokenizer_json_put_them() {
    let tokenizers = tokenizers();
    for (name, steps) in tokenizers["steps"].as_object().unwrap() {
        let json = changed(LLAMA, |json| {
            json["normalizer"] = steps["normalizer"].clone();
            json["pre_tokenizer"] = steps["pre_tokenizer"].clone();
            json["added_tokens"] = tokenizers["added"]["llama"].clone();
        });
        assert_ids(&read(429, &[("tokenizer.json", &json)]), name);
        // The steps count where the pieces come from tokenizer.model, too.
        let both: &[(&str, &[u8])] = &[("tokenizer.json", &json), ("tokenizer.model", MODEL)];
        assert_ids(&read(429, both), name);
    }
}

#[test]
fn byte_level_vocabularies_find_added_tokens_by_their_flags() {
    let json = changed(BYTE_LEVEL, |json| {
        json["added_tokens"] = tokenizers()["added"]["byte level"].clone();
    });
    assert_ids(&read(427, &[("tokenizer.json", &json)]), "byte level");
}

#[test]
fn symbols_are_a_part_of_the_text() {
    let metadata = read(320, &[("tokenizer.model", SYMBOLS)]);
    assert_ids(&metadata, "symbols");
    let kinds = metadata.i64s("tokenizer.ggml.token_type").unwrap().unwrap();
    assert_eq!(kinds[3..8], [4; 5], "for other programs they are user-defined");
}

/// A folder without `tokenizer.json` is read as the transformers library reads it.
#[test]
fn legacy_decides_what_precedes_the_text_behind_tokens() {
    let tokenizers = tokenizers();
    let added = tokenizers["added"]["llama"].as_array().unwrap().iter();
    let added: Map<String, Json> =
        added.map(|token| (token["id"].to_string(), token.clone())).collect();
    for (legacy, name) in [(false, "legacy False"), (true, "legacy True")] {
        let config = json!({"legacy": legacy, "added_tokens_decoder": added});
        let config = serde_json::to_vec(&config).unwrap();
        let files: &[(&str, &[u8])] =
            &[("tokenizer.model", MODEL), ("tokenizer_config.json", &config)];
        assert_ids(&read(429, files), name);
    }
}

#[test]
fn stock_keys_say_what_they_can_and_others_only_what_differs() {
    let json = |scheme: &str| {
        changed(LLAMA, |json| {
            json["normalizer"] = Json::Null;
            json["pre_tokenizer"] = tokenizers()["steps"][scheme]["pre_tokenizer"].clone();
        })
    };
    let keys = |files: &[(&str, &[u8])]| {
        let metadata = read(420, files);
        let adds = metadata.bool("tokenizer.ggml.add_space_prefix").unwrap().unwrap();
        let own = metadata.iter().filter(|(key, _)| key.starts_with("gatefold."));
        let own = own.map(|(key, _)| format!("{key} = {}", metadata.str(key).unwrap().unwrap()));
        (adds, own.collect::<Vec<_>>())
    };
    assert_eq!(keys(&[("tokenizer.model", MODEL)]), (true, vec![]));
    assert_eq!(keys(&[("tokenizer.json", &json("never"))]), (false, vec![]));
    let (adds, own) = keys(&[("tokenizer.json", &json("first"))]);
    let expected = [
        "gatefold.tokenizer.space_before_text = unless there",
        "gatefold.tokenizer.space_behind_tokens = never",
    ];
    assert!(adds);
    assert_eq!(own, expected);
}
