//! Tokenizer files of checkpoints become metadata that gives texts the ids they had.

use crate::tokenizer_folder::{
    BYTE_LEVEL, LLAMA, MODEL, changed, flag, folder, id, int_field, pieces, read, read_folder,
    sentencepiece_model,
};
use gatefold::checkpoint::Folder;
use gatefold::gguf::{Array, Metadata, Value};
use gatefold::tokenizer::{Specials, Tokenizer};
use gatefold_fixtures::vocabulary;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::HashMap;

const UNUSED: i64 = 5;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// A text and its ids, by the name of what made them.
#[derive(Deserialize)]
struct Expected {
    text: String,
    #[serde(flatten)]
    ids: HashMap<String, Vec<u32>>,
}

#[track_caller]
fn assert_ids(metadata: &Metadata, reference: &str) {
    let tokenizer = Tokenizer::from_metadata(metadata).unwrap();
    let texts: Vec<Expected> =
        serde_json::from_str(include_str!("../fixtures/vocabulary/texts.json")).unwrap();
    assert!(texts.len() > 150);
    for Expected { text, ids } in texts {
        let found = tokenizer.encode(&text, Specials::AsText).unwrap();
        assert_eq!(found, ids[reference], "{reference}: {text:?}");
    }
}

#[test]
fn tokenizer_model_gives_the_ids_of_sentencepiece() {
    let metadata = read(420, &[("tokenizer.model", MODEL)]);
    assert_ids(&metadata, "sentencepiece");
    let ids = ["bos", "eos", "unknown", "padding", "eot"].map(|name| id(&metadata, name));
    assert_eq!(ids, [Some(1), Some(2), Some(0), None, None]);
    let flags = ["add_bos_token", "add_eos_token", "add_space_prefix"];
    assert_eq!(flags.map(|name| flag(&metadata, name)), [true, false, true]);
    let (texts, kinds) = pieces(&metadata);
    assert_eq!(texts[..5], ["<unk>", "<s>", "</s>", "[CONTROL]", "<0x00>"]);
    assert_eq!(kinds[..5], [2, CONTROL, CONTROL, CONTROL, 6]);
    assert!(!metadata.contains("tokenizer.chat_template"));
}

#[test]
fn llamas_tokenizer_json_gives_the_ids_of_hugging_face() {
    let metadata = read(420, &[("tokenizer.json", LLAMA.as_bytes())]);
    assert_ids(&metadata, "llama");
    let (texts, kinds) = pieces(&metadata);
    let of_model = read(420, &[("tokenizer.model", MODEL)]);
    assert_eq!((texts, &kinds), (pieces(&of_model).0, &pieces(&of_model).1));
    // BOS is in the template around a text, EOS is not.
    assert_eq!((id(&metadata, "bos"), id(&metadata, "eos")), (Some(1), None));
    assert!(flag(&metadata, "add_bos_token") && !flag(&metadata, "add_eos_token"));
}

/// As files of earlier versions have them.
#[test]
fn merges_may_be_strings() {
    let json = changed(LLAMA, |json| {
        for merge in json["model"]["merges"].as_array_mut().unwrap() {
            let pieces = merge.as_array().unwrap().iter().map(|piece| piece.as_str().unwrap());
            *merge = json!(pieces.collect::<Vec<_>>().join(" "));
        }
    });
    assert_ids(&read(420, &[("tokenizer.json", &json)]), "llama");
}

#[test]
fn byte_level_pre_tokenizers_are_known_by_their_definitions() {
    let definitions: HashMap<String, Json> =
        serde_json::from_str(include_str!("../fixtures/vocabulary/pre_tokenizers.json")).unwrap();
    for (name, definition) in definitions {
        let ignores_merges = name == "llama-bpe";
        let json = changed(BYTE_LEVEL, |json| {
            json["pre_tokenizer"] = definition;
            json["model"]["ignore_merges"] = json!(ignores_merges);
        });
        let metadata = read(424, &[("tokenizer.json", &json)]);
        assert_eq!(metadata.str("tokenizer.ggml.pre").unwrap(), Some(name.as_str()));
        assert_ids(&metadata, &name);
        let (texts, kinds) = pieces(&metadata);
        assert_eq!(texts[420..], ["<tool>", "[PAD421]", "[PAD422]", "[PAD423]"]);
        assert_eq!(kinds[420..], [USER_DEFINED, UNUSED, UNUSED, UNUSED]);
        assert_eq!(kinds[..4], [CONTROL, CONTROL, CONTROL, 1]);
        assert!(!flag(&metadata, "add_bos_token") && !flag(&metadata, "add_space_prefix"));
    }
}

/// All 32,000 pieces of Mixtral 8x7B, whose file has the same fields.
#[test]
fn mistrals_vocabulary_comes_through() {
    let mistral = vocabulary::mistral();
    let model = sentencepiece_model(&mistral, &int_field(3, 2), &int_field(4, 0)[..]);
    let metadata = read(32_000, &[("tokenizer.model.v1", &model)]);
    for (key, value) in mistral.iter() {
        assert_eq!(metadata.get(key), Some(value), "{key}");
    }
}

/// As Dolphin's Mixtral has it: two tokens that its base did not have, one more row than tokens.
#[test]
fn added_tokens_take_their_places() {
    let config = json!({
        "added_tokens_decoder": {
            "1": {"content": "<s>", "special": true},
            "421": {"content": "<|im_start|>", "special": false},
            "423": {"content": "<▁tool▁>", "special": false},
        },
        "eos_token": {"content": "<|im_end|>", "lstrip": false},
    });
    let config = serde_json::to_vec(&config).unwrap();
    let metadata = read(
        425,
        &[
            ("tokenizer.model", MODEL),
            ("added_tokens.json", br#"{"<|im_end|>": 420, "[x]": 421, "[PAD]": 424}"#),
            ("special_tokens_map.json", br#"{"pad_token": "[PAD]", "eos_token": "</s>"}"#),
            ("tokenizer_config.json", &config),
        ],
    );
    let (texts, kinds) = pieces(&metadata);
    assert_eq!(texts[420..], ["<|im_end|>", "<|im_start|>", "[PAD422]", "< tool >", "[PAD]"]);
    assert_eq!(kinds[420..], [CONTROL, CONTROL, UNUSED, USER_DEFINED, CONTROL]);
    let ids = ["bos", "eos", "unknown", "padding"].map(|name| id(&metadata, name));
    assert_eq!(ids, [Some(1), Some(420), Some(0), Some(424)]);
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    let ids = tokenizer.encode("<|im_start|>a< tool ><|im_end|>", Specials::Parse).unwrap();
    assert_eq!([ids[0], ids[ids.len() - 2], ids[ids.len() - 1]], [421, 423, 420]);
    assert!(tokenizer.ends_generation(420));
}

/// Which files say what EOS is, from the one that counts most to the least.
#[test]
fn the_order_in_which_files_name_special_tokens() {
    let all: [(&str, &[u8]); 4] = [
        ("tokenizer_config.json", br#"{"eos_token": "[CONTROL]", "pad_token": "not there"}"#),
        ("special_tokens_map.json", br#"{"eos_token": {"content": "<s>"}}"#),
        ("config.json", br#"{"eos_token_id": 300, "pad_token_id": -1}"#),
        ("generation_config.json", br#"{"eos_token_id": [9999, 301, 302, 300]}"#),
    ];
    let expected =
        [(3, Some(301), Some(302)), (1, Some(301), Some(302)), (300, Some(301), Some(302))];
    for (n_left_out, (eos, eot, eom)) in expected.into_iter().enumerate() {
        let files = [&[("tokenizer.model", MODEL)], &all[n_left_out..]].concat();
        let metadata = read(420, &files);
        let ids = ["eos", "eot", "eom", "padding"].map(|name| id(&metadata, name));
        assert_eq!(ids, [Some(eos), eot, eom, None]);
    }
    let metadata = read(420, &[("tokenizer.model", MODEL), all[3]]);
    let ids = ["eos", "eot", "eom"].map(|name| id(&metadata, name));
    assert_eq!(ids, [Some(301), Some(302), Some(300)]);
}

#[test]
fn what_goes_around_a_text() {
    let flags = |config: &[u8], json: Option<&str>| {
        let model = match json {
            Some(json) => ("tokenizer.json", json.as_bytes()),
            None => ("tokenizer.model", MODEL),
        };
        let metadata = read(424, &[model, ("tokenizer_config.json", config)]);
        ["add_bos_token", "add_eos_token", "add_space_prefix"].map(|name| flag(&metadata, name))
    };
    let on = br#"{"add_eos_token": true, "add_bos_token": false, "add_prefix_space": false}"#;
    assert_eq!(flags(on, None), [false, true, false]);
    assert_eq!(flags(br#"{"add_bos_token": null}"#, None), [true, false, true]);
    let none = changed(LLAMA, |json| json["post_processor"]["single"] = json!([]));
    let none = std::str::from_utf8(&none).unwrap();
    assert_eq!(flags(b"{}", Some(none)), [false, false, true]);
    let llama = br#"{"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<s>"}"#;
    assert_eq!(flags(llama, Some(none)), [true, false, true]);
    assert_eq!(flags(br#"{"add_prefix_space": true}"#, Some(BYTE_LEVEL)), [false; 3]);
    let ends = br#"{"add_bos_token": true, "add_eos_token": true, "eos_token": "<|im_end|>"}"#;
    assert_eq!(flags(ends, Some(BYTE_LEVEL)), [false, true, false], "there is no BOS to add");
}

#[test]
fn chat_templates() {
    let list = br#"{"chat_template": [
        {"name": "default", "template": "of the list"}, {"name": "tool use", "template": "tools"}
    ]}"#;
    let template =
        |metadata: &Metadata| metadata.str("tokenizer.chat_template").unwrap().map(str::to_owned);
    let jinja: &[(&str, &[u8])] = &[
        ("tokenizer.model", MODEL),
        ("chat_template.jinja", b"of the file"),
        ("additional_chat_templates/rag.jinja", b"with documents"),
        ("tokenizer_config.json", list),
    ];
    let metadata = read(420, jinja);
    assert_eq!(template(&metadata).unwrap(), "of the file");
    assert_eq!(metadata.str("tokenizer.chat_template.rag").unwrap(), Some("with documents"));
    assert!(!metadata.contains("tokenizer.chat_template.tool_use"));
    let metadata = read(420, &[("tokenizer.model", MODEL), ("tokenizer_config.json", list)]);
    assert_eq!(template(&metadata).unwrap(), "of the list");
    assert_eq!(metadata.str("tokenizer.chat_template.tool_use").unwrap(), Some("tools"));
    let names = Value::Array(Array::String(vec!["tool_use".into()]));
    assert_eq!(metadata.get("tokenizer.chat_templates"), Some(&names));
    let json = ("chat_template.json", &br#"{"chat_template": "of JSON"}"#[..]);
    let metadata = read(420, &[("tokenizer.model", MODEL), json]);
    assert_eq!(template(&metadata).unwrap(), "of JSON");
}

/// SentencePiece's own file is the more exact one.
#[test]
fn tokenizer_model_goes_before_tokenizer_json() {
    let json = changed(LLAMA, |json| {
        json["model"]["merges"] = json!([]);
        json["added_tokens"].as_array_mut().unwrap().push(json!(
            {"id": 420, "content": "<extra>", "special": true}
        ));
    });
    let files: &[(&str, &[u8])] = &[("tokenizer.model", MODEL), ("tokenizer.json", &json)];
    let metadata = read(421, files);
    assert_ids(&metadata, "sentencepiece");
    assert_eq!((pieces(&metadata).0[420].as_str(), pieces(&metadata).1[420]), ("<extra>", CONTROL));
    // Meta's releases have a tokenizer.model that is another kind of file.
    let files: &[(&str, &[u8])] =
        &[("tokenizer.model", b"IQ== 0\nIg== 1\n"), ("tokenizer.json", BYTE_LEVEL.as_bytes())];
    assert_eq!(read(421, files).str("tokenizer.ggml.model").unwrap(), Some("gpt2"));
    let old_and_new: &[(&str, &[u8])] =
        &[("tokenizer.model.v1", b"damaged"), ("tokenizer.model.v3", MODEL)];
    assert_ids(&read(420, old_and_new), "sentencepiece");
}

#[test]
fn what_was_set_before_stays() {
    let folder = folder(&[("tokenizer.model", MODEL)]);
    let mut metadata = Metadata::new();
    metadata.set("general.architecture", Value::String("llama".into()));
    let there = Folder::open(folder.path()).unwrap();
    gatefold::checkpoint::vocabulary::read(&there, 420, &mut metadata).unwrap();
    assert_eq!(metadata.str("general.architecture").unwrap(), Some("llama"));
    assert_eq!(
        read_folder(folder.path(), 420).unwrap().iter().count() + 1,
        metadata.iter().count()
    );
}
