//! Ids equal to those of the reference implementations, and the way back to text.

use gatefold::gguf::{Array, Metadata, Value};
use gatefold::tokenizer::{Specials, TextStream, Tokenizer};
use gatefold_fixtures::vocabulary;
use serde::Deserialize;
use std::collections::HashMap;

/// A text and its ids, by the name of what made them.
#[derive(Deserialize)]
struct Expected {
    text: String,
    #[serde(flatten)]
    ids: HashMap<String, Vec<u32>>,
}

/// A text many times over, and the ids' number and hash.
#[derive(Deserialize)]
struct Repeated {
    pre: Option<String>,
    text: String,
    times: usize,
    n_ids: usize,
    fnv: String,
}

fn mistral() -> Tokenizer {
    Tokenizer::from_metadata(&vocabulary::mistral()).unwrap()
}

fn smollm2_small(pre_tokenizer: &str) -> Tokenizer {
    Tokenizer::from_metadata(&vocabulary::smollm2_small(pre_tokenizer)).unwrap()
}

fn as_text(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text, Specials::AsText).unwrap()
}

fn fnv(ids: &[u32]) -> String {
    let bytes = ids.iter().flat_map(|id| id.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[test]
fn mistral_ids_are_those_of_sentencepiece() {
    let tokenizer = mistral();
    let all: Vec<Expected> =
        serde_json::from_str(include_str!("../fixtures/tokenizer/mistral-v1.texts.json")).unwrap();
    assert!(all.len() > 300);
    for Expected { text, ids } in all {
        let found = as_text(&tokenizer, &text);
        assert_eq!(found, ids["ids"], "{text:?}");
        assert_eq!(tokenizer.decode(&found), text.replace('\u{2581}', " "), "{text:?}");
    }
}

#[test]
fn mistral_ids_of_long_texts_are_those_of_sentencepiece() {
    let tokenizer = mistral();
    let all: Vec<Repeated> =
        serde_json::from_str(include_str!("../fixtures/tokenizer/mistral-v1.repeated.json"))
            .unwrap();
    for Repeated { text, times, n_ids, fnv: expected, .. } in all {
        let found = as_text(&tokenizer, &text.repeat(times));
        assert_eq!((found.len(), fnv(&found)), (n_ids, expected), "{text:?} {times} times");
    }
}

#[test]
fn byte_level_ids_are_those_of_hugging_face() {
    let all: Vec<Expected> =
        serde_json::from_str(include_str!("../fixtures/tokenizer/smollm2-small.texts.json"))
            .unwrap();
    assert!(all.len() > 200);
    for pre_tokenizer in ["smollm", "llama-bpe", "default"] {
        let tokenizer = smollm2_small(pre_tokenizer);
        for Expected { text, ids } in &all {
            assert_eq!(as_text(&tokenizer, text), ids[pre_tokenizer], "{pre_tokenizer}: {text:?}");
        }
    }
    let tokenizer = smollm2_small("smollm");
    for Expected { text, ids } in &all {
        assert_eq!(tokenizer.encode(text, Specials::Parse).unwrap(), ids["parsed"], "{text:?}");
    }
}

#[test]
fn byte_level_ids_of_long_texts_are_those_of_hugging_face() {
    let all: Vec<Repeated> =
        serde_json::from_str(include_str!("../fixtures/tokenizer/smollm2-small.repeated.json"))
            .unwrap();
    for Repeated { pre, text, times, n_ids, fnv: expected } in all {
        let pre = pre.unwrap();
        let found = as_text(&smollm2_small(&pre), &text.repeat(times));
        assert_eq!((found.len(), fnv(&found)), (n_ids, expected), "{pre}: {text:?} {times} times");
    }
}

#[test]
fn names_of_pre_tokenizers_are_synonyms() {
    for (name, synonym) in
        [("llama-bpe", "llama3"), ("llama-bpe", "llama-v3"), ("default", "gpt-2")]
    {
        let text = "  I'LL be 12345\n\n  there";
        let ids = |name| as_text(&smollm2_small(name), text);
        assert_eq!(ids(name), ids(synonym));
    }
}

/// A quadratic algorithm would take hours for these.
#[test]
fn a_megabyte_takes_seconds() {
    let tokenizers = [mistral(), smollm2_small("smollm"), smollm2_small("llama-bpe")];
    for tokenizer in &tokenizers {
        for unit in ["a", " ", "etaoin", "日"] {
            let text = unit.repeat((1 << 20) / unit.len());
            assert!(!as_text(tokenizer, &text).is_empty());
        }
        let blank = " ".repeat(1_200_000) + "x";
        assert_eq!(tokenizer.decode(&as_text(tokenizer, &blank)), blank);
    }
}

#[test]
fn control_tokens_are_parsed_only_on_demand() {
    let tokenizer = mistral();
    assert_eq!(tokenizer.encode("<s>a</s>", Specials::Parse).unwrap(), [1, 264, 2]);
    assert!(as_text(&tokenizer, "<s>a</s>").iter().all(|&id| id > 2));
    // A space goes before the text behind a special token, but no second one.
    let behind = |text: &str| tokenizer.encode(text, Specials::Parse).unwrap()[1..].to_vec();
    assert_eq!(behind("<s>Hello"), as_text(&tokenizer, "Hello"));
    assert_eq!(behind("<s> Hello"), as_text(&tokenizer, "Hello"));
    assert_eq!(behind("<s>  Hello"), as_text(&tokenizer, " Hello"));
}

#[test]
fn user_defined_tokens_match_everywhere() {
    let mut metadata = vocabulary::smollm2_small("smollm");
    let id = metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap().len() as u32;
    append_piece(&mut metadata, "<|tool é|>", 4);
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    for specials in [Specials::AsText, Specials::Parse] {
        let ids = tokenizer.encode("a<|tool é|><|tool é|> b", specials).unwrap();
        assert_eq!(ids[1..3], [id, id]);
        assert_eq!(tokenizer.decode(&ids), "a<|tool é|><|tool é|> b");
    }
}

fn append_piece(metadata: &mut Metadata, piece: &str, kind: i32) {
    let (pieces, kinds) = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type");
    let mut strings = metadata.strings(pieces).unwrap().unwrap().to_vec();
    let integers = metadata.i64s(kinds).unwrap().unwrap();
    let mut integers: Vec<i32> = integers.into_iter().map(|kind| kind as i32).collect();
    strings.push(piece.into());
    integers.push(kind);
    metadata.set(pieces, Value::Array(Array::String(strings)));
    metadata.set(kinds, Value::Array(Array::I32(integers)));
}

#[test]
fn special_ids_and_defaults() {
    let tokenizer = mistral();
    assert_eq!((tokenizer.bos(), tokenizer.eos(), tokenizer.n_vocab()), (Some(1), Some(2), 32_000));
    assert!(tokenizer.adds_bos());
    let text = [vec![1], as_text(&tokenizer, "</s>")].concat();
    assert_eq!(tokenizer.encode_text("</s>").unwrap(), text);
    assert!(tokenizer.ends_generation(2) && !tokenizer.ends_generation(1));
    assert_eq!((tokenizer.piece(259), tokenizer.piece(32_000)), (Some("▁▁"), None));

    let tokenizer = smollm2_small("smollm");
    assert!(!tokenizer.adds_bos());
    let ends = (0..20).filter(|&id| tokenizer.ends_generation(id));
    let ends: Vec<_> = ends.map(|id| tokenizer.piece(id).unwrap()).collect();
    assert_eq!(ends, ["<|endoftext|>", "<|im_end|>", "<reponame>"]);

    let mut metadata = vocabulary::mistral();
    metadata.set("tokenizer.ggml.add_bos_token", Value::Bool(false));
    metadata.set("tokenizer.ggml.add_space_prefix", Value::Bool(false));
    metadata.set("tokenizer.ggml.eot_token_id", Value::U32(77));
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    assert!(!tokenizer.adds_bos() && tokenizer.ends_generation(77));
    assert_eq!((tokenizer.bos(), tokenizer.first_token()), (Some(1), None));
    assert_eq!(tokenizer.encode_text("</s>").unwrap(), as_text(&tokenizer, "</s>"));
    let ids = as_text(&tokenizer, "Hello");
    assert_eq!(tokenizer.piece(ids[0]), Some("Hello"));
    assert_eq!(tokenizer.decode(&as_text(&tokenizer, " Hello")), " Hello");
}

#[test]
fn decoding_leaves_control_tokens_out_and_replaces_what_is_no_text() {
    let tokenizer = mistral();
    let byte = |byte: u32| 3 + byte;
    assert_eq!(tokenizer.decode(&[1, 22557, 2]), "Hello");
    assert_eq!(tokenizer.decode(&[22557, 22557]), "Hello Hello");
    assert_eq!(tokenizer.decode(&[byte(0xF0), byte(0x9F)]), "\u{FFFD}");
    assert_eq!(
        tokenizer.decode(&[byte(0xFF), byte(0x41), byte(0xC3), byte(0x28)]),
        "\u{FFFD}A\u{FFFD}("
    );
    assert_eq!(tokenizer.decode(&[0]), " \u{2047} ");
    assert_eq!(tokenizer.decode(&[32_000, u32::MAX]), "\u{FFFD}\u{FFFD}");
}

/// Every prefix of a stream is a prefix of the whole text, and no character is split.
#[test]
fn streams_never_split_a_character() {
    let text = "  naïve 東京🦙👩🏽‍💻\u{10FFFD} é नमस्ते\n";
    for tokenizer in [mistral(), smollm2_small("smollm")] {
        let ids = as_text(&tokenizer, text);
        assert!(ids.len() > text.chars().count() / 2);
        let mut stream = TextStream::from_start(&tokenizer);
        let mut said = String::new();
        for &id in &ids {
            said.push_str(&stream.push(id));
            assert!(tokenizer.decode(&ids).starts_with(&said), "{said:?}");
        }
        assert_eq!(stream.finish(), "");
        assert_eq!(said, tokenizer.decode(&ids));
    }
}

#[test]
fn streams_replace_bytes_once_they_are_certain_to_be_invalid() {
    let tokenizer = mistral();
    let mut stream = TextStream::new(&tokenizer);
    let mut push = |byte: u32| stream.push(3 + byte);
    assert_eq!([push(0xE2), push(0x82), push(0xAC)], ["", "", "€"]);
    assert_eq!([push(0xF0), push(0x9F), push(0x41)], ["", "", "\u{FFFD}A"]);
    assert_eq!([push(0x80), push(0xC3)], ["\u{FFFD}", ""]);
    assert_eq!(stream.push(22557), "\u{FFFD} Hello");
    assert_eq!(stream.push(3 + 0xE2), "");
    assert_eq!(stream.finish(), "\u{FFFD}");
    assert_eq!(stream.finish(), "");
}
