//! Vocabularies that are damaged, or made to do damage: clear errors, no panics, no long waits.

use gatefold::gguf::{Array, Metadata, Value};
use gatefold::tokenizer::{Specials, Tokenizer};
use proptest::prelude::*;

fn strings<S: Into<String>>(strings: impl IntoIterator<Item = S>) -> Value {
    Value::Array(Array::String(strings.into_iter().map(Into::into).collect()))
}

/// A tiny SentencePiece vocabulary with an unknown token.
fn llama(pieces: &[&str]) -> Metadata {
    let mut metadata = Metadata::new();
    let scores = (0..pieces.len()).map(|id| -(id as f32)).collect();
    let mut kinds = vec![1; pieces.len()];
    if let Some(first) = kinds.first_mut() {
        *first = 2;
    }
    metadata.set("tokenizer.ggml.model", Value::String("llama".into()));
    metadata.set("tokenizer.ggml.tokens", strings(pieces.iter().copied()));
    metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(scores)));
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    metadata.set("tokenizer.ggml.unknown_token_id", Value::U32(0));
    metadata
}

/// A tiny byte-level vocabulary.
fn gpt2(pieces: &[&str], merges: &[&str]) -> Metadata {
    let mut metadata = Metadata::new();
    metadata.set("tokenizer.ggml.model", Value::String("gpt2".into()));
    metadata.set("tokenizer.ggml.tokens", strings(pieces.iter().copied()));
    metadata.set("tokenizer.ggml.merges", strings(merges.iter().copied()));
    metadata
}

fn with(mut metadata: Metadata, key: &str, value: Value) -> Metadata {
    metadata.set(format!("tokenizer.ggml.{key}"), value);
    metadata
}

#[track_caller]
fn refused(metadata: &Metadata, expected: &str) {
    let Err(error) = Tokenizer::from_metadata(metadata) else { panic!("not refused: {expected}") };
    let error = error.to_string();
    assert!(error.contains(expected), "{error}");
    assert!(error.len() < 600, "{} bytes", error.len());
}

#[test]
fn refusals_name_the_key() {
    let pieces = ["<unk>", "a", "b", "ab"];
    let good = || llama(&pieces);
    Tokenizer::from_metadata(&good()).unwrap();
    let integers = |integers: &[i32]| Value::Array(Array::I32(integers.to_vec()));
    let floats = |floats: &[f32]| Value::Array(Array::F32(floats.to_vec()));
    let string = |string: &str| Value::String(string.into());

    refused(&Metadata::new(), "`tokenizer.ggml.tokens` is missing");
    refused(&llama(&[]), "0 pieces");
    refused(&with(good(), "model", string("a\n\u{1b}[2J")), r"`a\n\u{1b}[2J`, which is not");
    refused(&with(good(), "model", string(&"x".repeat(1 << 16))), "not supported");
    let mistyped = with(good(), "tokens", Value::U32(1));
    let error = Tokenizer::from_metadata(&mistyped).err().unwrap().to_string();
    assert!(!error.contains("(new metadata)"), "callers name the file: {error}");
    refused(&with(good(), "tokens", Value::U32(1)), "tokenizer.ggml.tokens");
    refused(&with(good(), "model", string("t5")), "`tokenizer.ggml.model` is `t5`");
    refused(&with(good(), "scores", floats(&[0.0; 3])), "`tokenizer.ggml.scores` holds 3 values");
    refused(&with(good(), "scores", floats(&[0.0, 1.0, f32::NAN, 0.0])), "scores[2]` is NaN");
    refused(&with(good(), "token_type", integers(&[1; 5])), "`tokenizer.ggml.token_type` holds 5");
    for key in ["bos", "eos", "unknown", "eot", "eom"] {
        let key = format!("{key}_token_id");
        refused(&with(good(), &key, Value::U32(4)), &format!("`tokenizer.ggml.{key}` is 4"));
        refused(&with(good(), &key, Value::U64(u64::MAX)), &key);
        refused(&with(good(), &key, Value::I32(-1)), &key);
    }
    refused(&with(good(), "add_bos_token", string("yes")), "add_bos_token");
    let no_unknown = ["a", "b"];
    let mut metadata = with(llama(&no_unknown), "token_type", integers(&[1, 1]));
    metadata = with(metadata, "unknown_token_id", string("none"));
    refused(&metadata, "unknown_token_id");
}

#[test]
fn texts_need_bytes_or_an_unknown_token() {
    let mut metadata = Metadata::new();
    for (key, value) in llama(&["a", "b"]).iter() {
        if !key.ends_with("unknown_token_id") {
            metadata.set(key, value.clone());
        }
    }
    refused(&metadata, "lacks the byte piece `<0x00>`");
    let tokenizer = Tokenizer::from_metadata(&llama(&["?", "a", "b", "ab", "▁"])).unwrap();
    let ids = tokenizer.encode("abxyz日b", Specials::AsText).unwrap();
    assert_eq!(ids, [4, 3, 0, 2], "a stretch of unknown characters is one unknown token");
}

#[test]
fn merges_must_join_pieces_to_pieces() {
    let pieces = ["a", "b", "ab"];
    Tokenizer::from_metadata(&gpt2(&pieces, &["a b"])).unwrap();
    refused(&gpt2(&pieces, &["a b", "a c"]), "merges[1]` is `a c`: it joins a piece that is not");
    refused(&gpt2(&pieces, &["b a"]), "the joined piece is not in the vocabulary");
    for malformed in ["ab", "", "a  b", " ", "a b c"] {
        refused(&gpt2(&pieces, &[malformed]), "tokenizer.ggml.merges[0]");
    }
    refused(&gpt2(&pieces, &["x".repeat(10_000_000).as_str()]), "two pieces with a space");
    let unknown = with(gpt2(&pieces, &[]), "pre", Value::String("klingon".into()));
    refused(&unknown, "`tokenizer.ggml.pre` is `klingon`");
}

#[test]
fn empty_and_equal_pieces_are_harmless() {
    let tokenizer = Tokenizer::from_metadata(&llama(&["", "a", "a", "", "aa", "aa"])).unwrap();
    assert_eq!(tokenizer.encode("aaa", Specials::Parse).unwrap(), [0, 4, 1]);
    assert_eq!(tokenizer.decode(&[5, 2, 3]), "aaa");
    let tokenizer = Tokenizer::from_metadata(&gpt2(&["a", "a", "", "aa", "aa"], &["a a"])).unwrap();
    assert_eq!(tokenizer.encode("aaaéa", Specials::Parse).unwrap(), [3, 3]);
}

#[test]
fn equal_scores_merge_from_the_left_and_infinite_ones_have_an_order() {
    let infinite = [f32::NEG_INFINITY, 0.0, -0.0, 0.0, f32::INFINITY, 1.0];
    let metadata = llama(&["?", "a", "aa", "aaa", "▁", "zz"]);
    let metadata = with(metadata, "scores", Value::Array(Array::F32(infinite.to_vec())));
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    assert_eq!(tokenizer.encode("aaaaa", Specials::AsText).unwrap(), [4, 3, 2]);
}

#[test]
fn huge_pieces_take_no_time() {
    let huge = "x".repeat(10_000_000);
    let tokenizer = Tokenizer::from_metadata(&llama(&["?", "x", "xx", &huge])).unwrap();
    let ids = tokenizer.encode(&"x".repeat(100_000), Specials::Parse).unwrap();
    assert_eq!(ids.len(), 50_001);
    let kinds = Value::Array(Array::I32(vec![1, 1, 3]));
    let metadata = with(gpt2(&["x", "xx", &huge], &["x x"]), "token_type", kinds);
    refused(&metadata, "too many or too long");
}

#[test]
fn a_vocabulary_of_special_tokens_takes_no_time() {
    let pieces: Vec<String> = (0..20_000).map(|id| format!("<|special {id:06}|>")).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let kinds = Value::Array(Array::I32(vec![3; pieces.len()]));
    let metadata = with(gpt2(&pieces, &[]), "token_type", kinds);
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    let text = "<|special 0".repeat(50_000) + "<|special 019999|>";
    assert_eq!(tokenizer.encode(&text, Specials::Parse).unwrap(), [19_999]);
}

#[test]
fn a_control_token_spelled_like_the_prefix_space_is_silent() {
    let mut metadata = Metadata::new();
    metadata.set("tokenizer.ggml.model", Value::String("llama".into()));
    metadata.set("tokenizer.ggml.tokens", strings(["▁"]));
    metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0])));
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(vec![3])));
    metadata.set("tokenizer.ggml.unknown_token_id", Value::U32(0));
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    assert_eq!(tokenizer.decode(&[0]), "");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the vocabulary: it is refused, or every text has ids within it.
    #[test]
    fn any_vocabulary_is_refused_or_works(
        pieces in prop::collection::vec("[ab▁ é<x0A>]{0,4}", 0..20),
        kinds in prop::collection::vec(0..8i32, 0..20),
        scores in prop::collection::vec(any::<f32>(), 0..20),
        merges in prop::collection::vec("[ab é]{0,4}", 0..4),
        model in prop::sample::select(vec!["llama", "gpt2"]),
        id in 0..24u32,
        fit in any::<bool>(),
        text in "[ab ▁é<x0A>\n]{0,30}",
    ) {
        let (mut kinds, mut scores) = (kinds, scores);
        if fit {
            kinds.resize(pieces.len(), 1);
            scores.resize(pieces.len(), 0.0);
        }
        let mut metadata = Metadata::new();
        for (key, value) in [
            ("model", Value::String(model.into())),
            ("tokens", strings(pieces)),
            ("scores", Value::Array(Array::F32(scores))),
            ("token_type", Value::Array(Array::I32(kinds))),
            ("merges", strings(merges)),
            ("unknown_token_id", Value::U32(id)),
        ] {
            metadata = with(metadata, key, value);
        }
        if let Ok(tokenizer) = Tokenizer::from_metadata(&metadata) {
            for specials in [Specials::Parse, Specials::AsText] {
                let ids = tokenizer.encode(&text, specials).unwrap();
                prop_assert!(ids.iter().all(|&id| (id as usize) < tokenizer.n_vocab()));
                tokenizer.decode(&ids);
            }
        }
    }
}
