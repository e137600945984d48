//! Tokenizer files that cannot be converted, are damaged, or made to do damage: clear errors, no
//! panics, no long waits.

use crate::tokenizer_folder::{
    BYTE_LEVEL, LLAMA, MODEL, bytes_field, changed, folder, int_field, read_folder, refused,
    sentencepiece_model,
};
use gatefold::gguf::{Array, Metadata, Value};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::fs::File;

#[test]
fn folders_without_a_tokenizer_say_what_is_missing() {
    refused(420, &[], &["holds no tokenizer.model and no tokenizer.json", "download"]);
    refused(420, &[("tekken.json", b"{}")], &["tekken.json", "tokenizer.json of the model's"]);
    refused(420, &[("tokenizer.model", b"IQ== 0\nIg== 1\n")], &["tokenizer.model", "tiktoken"]);
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 493443\n";
    refused(420, &[("tokenizer.model", pointer)], &["Git LFS", "git lfs pull"]);
    refused(420, &[("tokenizer.model/file", b"")], &["tokenizer.model", "not a file"]);
}

#[test]
fn huge_files_are_not_read() {
    for name in ["tokenizer.model", "tokenizer.json", "tokenizer_config.json"] {
        let folder = folder(&[("tokenizer.model", MODEL)]);
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_len(1 << 40).unwrap();
        let error = read_folder(folder.path(), 420).map(|_| ()).unwrap_err();
        assert!(error.contains(name) && error.contains("1099511627776 bytes"), "{error}");
    }
}

#[test]
fn absurd_numbers_of_embeddings_are_refused() {
    for n_vocab in [0, usize::MAX] {
        refused(n_vocab, &[("tokenizer.model", MODEL)], &["vocab_size", "are sensible"]);
    }
}

/// A tiny vocabulary in SentencePiece's file.
fn model(trainer: &[u8], normalizer: &[u8]) -> Vec<u8> {
    let pieces = ["<unk>", "a", "b", "ab"].map(String::from).to_vec();
    let mut metadata = Metadata::new();
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(pieces)));
    metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0; 4])));
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(vec![2, 1, 1, 1])));
    sentencepiece_model(&metadata, trainer, normalizer)
}

#[test]
fn sentencepiece_models_of_other_kinds_are_refused_by_name() {
    let (bpe, plain) = (int_field(3, 2), int_field(4, 0));
    let read = |trainer: &[u8], normalizer: &[u8]| {
        read_folder(folder(&[("tokenizer.model", &model(trainer, normalizer))]).path(), 4)
    };
    read(&bpe, &plain).unwrap();
    for (trainer, normalizer, expected) in [
        (vec![], plain.clone(), "unigram"),
        (int_field(3, 3), plain.clone(), "word"),
        (int_field(3, 4), plain.clone(), "char"),
        (int_field(3, 99), plain.clone(), "type 99"),
        ([bpe.clone(), int_field(24, 1)].concat(), plain.clone(), "end of words"),
        (bpe.clone(), vec![], "removes extra spaces"),
        (bpe.clone(), [plain.clone(), int_field(5, 0)].concat(), "U+2581"),
        (bpe, [bytes_field(1, b"nmt_nfkc"), bytes_field(2, b"map"), plain].concat(), "nmt_nfkc"),
    ] {
        let error = read(&trainer, &normalizer).map(|_| ()).unwrap_err();
        assert!(error.contains(expected) && error.contains("SentencePiece"), "{error}");
    }
}

#[test]
fn damaged_sentencepiece_models_say_where() {
    let refused = |bytes: &[u8], expected| {
        refused(420, &[("tokenizer.model", bytes)], &["no SentencePiece model", expected]);
    };
    refused(b"", "no piece at byte 0");
    refused(b"<html>", "at byte 0");
    refused(&[0xFF; 20], "more than 64 bits at byte 0");
    refused(&[0x0A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F], "cut short at byte 6");
    refused(&bytes_field(1, &bytes_field(1, b"\xFF")), "not UTF-8");
    refused(&bytes_field(1, &int_field(3, 7)), "unknown type");
    refused(&bytes_field(1, &int_field(1, 7)), "another type");
    refused(&int_field(1, 7), "something else than a message");
    refused(&MODEL[..MODEL.len() / 2], "cut short");
}

#[test]
fn other_tokenizer_jsons_are_refused_by_what_they_have() {
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false});
    let split = |pattern: &str| {
        let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"});
        json!({"type": "Sequence", "pretokenizers": [split, byte_level]})
    };
    for (base, path, value, expected) in [
        (LLAMA, "/model/type", json!("Unigram"), "Unigram"),
        (LLAMA, "/model/type", json!("WordPiece"), "WordPiece"),
        (LLAMA, "/model/ignore_merges", json!(true), "ignore_merges"),
        (LLAMA, "/model/end_of_word_suffix", json!("</w>"), "</w>"),
        (LLAMA, "/normalizer", json!({"type": "Lowercase"}), "Lowercase"),
        (LLAMA, "/normalizer", Json::Null, "normalizer none and the pre-tokenizer none"),
        (BYTE_LEVEL, "/pre_tokenizer/add_prefix_space", json!(true), "ByteLevel"),
        (BYTE_LEVEL, "/pre_tokenizer", split("[a-z]+"), "[a-z]+"),
        (BYTE_LEVEL, "/normalizer", json!({"type": "Lowercase"}), "Lowercase"),
        (BYTE_LEVEL, "/model/ignore_merges", json!(true), "pre-tokenizer ByteLevel"),
    ] {
        let json = changed(base, |json| *json.pointer_mut(path).unwrap() = value);
        let files: &[(&str, &[u8])] = &[("tokenizer.json", &json)];
        refused(424, files, &["tokenizer.json", expected, "BPE"]);
    }
}

/// Merges that were learned as such have one split per piece.
#[test]
fn merges_without_an_order_of_pieces_are_refused() {
    let json = |vocab: &[&str], merges: Json| {
        let vocab: serde_json::Map<String, Json> =
            vocab.iter().zip(0..).map(|(piece, id)| (piece.to_string(), json!(id))).collect();
        changed(LLAMA, |json| {
            json["added_tokens"] = json!([]);
            json["model"]["vocab"] = Json::Object(vocab);
            json["model"]["merges"] = merges;
        })
    };
    let pieces = ["<unk>", "a", "b", "c", "ab", "bc", "abc"];
    let all = json!(["a b", "b c", "ab c", "a bc"]);
    let good = json(&pieces, all);
    read_folder(folder(&[("tokenizer.json", &good)]).path(), 7).unwrap();
    let one_split = json(&pieces, json!(["a b", "b c", "ab c"]));
    refused(7, &[("tokenizer.json", &one_split)], &["`abc` are not all there", "tokenizer.model"]);
    let apart = json(&pieces, json!(["ab c", "a b", "b c", "a bc"]));
    refused(7, &[("tokenizer.json", &apart)], &["`abc` are not one after the other"]);
    let by_length = json!(["▁▁▁ ▁", "▁▁ ▁▁", "▁▁ ▁", "▁ ▁▁▁", "▁ ▁▁", "▁ ▁", "▁ b"]);
    let runs = json(&["<unk>", "▁", "▁▁", "▁▁▁", "▁▁▁▁", "b", "▁b"], by_length);
    let metadata = read_folder(folder(&[("tokenizer.json", &runs)]).path(), 7).unwrap();
    let scores = metadata.f32s("tokenizer.ggml.scores").unwrap().unwrap();
    assert_eq!((&scores[2..5], scores[6]), (&[0.0; 3][..], -6.0), "runs of spaces tie");
    let long = "x".repeat(1 << 20);
    let long = json(&["<unk>", &long], json!([]));
    refused(7, &[("tokenizer.json", &long)], &["too many to look at"]);
}

#[test]
fn damaged_json_is_named() {
    let with = |name, bytes: &[u8], expected: &[&str]| {
        refused(424, &[("tokenizer.model", MODEL), (name, bytes)], &[&[name], expected].concat());
    };
    with("tokenizer.json", b"{\"model\":", &["EOF"]);
    with("tokenizer_config.json", b"[]", &["JSON"]);
    with("tokenizer_config.json", br#"{"add_bos_token": "yes"}"#, &["add_bos_token", "true or"]);
    with("tokenizer_config.json", br#"{"eos_token": 2}"#, &["eos_token", "a token"]);
    with("tokenizer_config.json", br#"{"added_tokens_decoder": []}"#, &["added_tokens_decoder"]);
    with("tokenizer_config.json", br#"{"chat_template": [{"name": "x"}]}"#, &["chat_template"]);
    with("added_tokens.json", br#"{"x": "y"}"#, &["x", "an id"]);
    with("config.json", br#"{"eos_token_id": ["</s>"]}"#, &["eos_token_id", "list of ids"]);
    with("chat_template.jinja", b"\xFF", &["not UTF-8"]);
    let long = format!("{{\"model\": \"{}\"}}", "x".repeat(1 << 20));
    with("tokenizer.json", long.as_bytes(), &["invalid type"]);
    let deep = format!("{{\"normalizer\": {}", "{\"normalizers\": [".repeat(100_000));
    refused(424, &[("tokenizer.json", deep.as_bytes())], &["tokenizer.json"]);
    let steps = changed(BYTE_LEVEL, |json| {
        json["normalizer"] = json!({"type": "Sequence", "normalizers": vec![json!({}); 65]});
    });
    refused(424, &[("tokenizer.json", &steps)], &["a list of at most 64"]);
    let twice = changed(BYTE_LEVEL, |json| json["model"]["vocab"]["second"] = json!(300));
    refused(424, &[("tokenizer.json", &twice)], &["two tokens with id 300", "`second`"]);
    let merge = changed(BYTE_LEVEL, |json| json["model"]["merges"] = json!([["a", "no such"]]));
    refused(424, &[("tokenizer.json", &merge)], &["merges[0]", "not in the vocabulary"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever happens to a file's bytes: it is refused in one line, or makes a tokenizer.
    #[test]
    fn any_damage_is_refused_or_harmless(
        which in 0..3usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (name, bytes) = [
            ("tokenizer.model", MODEL),
            ("tokenizer.json", LLAMA.as_bytes()),
            ("tokenizer.json", BYTE_LEVEL.as_bytes()),
        ][which];
        let mut bytes = bytes.to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Err(error) = read_folder(folder(&[(name, &bytes)]).path(), 424) {
            prop_assert!(error.len() < 1000 && !error.contains('\n'), "{error}");
        }
    }
}
