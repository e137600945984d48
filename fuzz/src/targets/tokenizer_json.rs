//! Hugging Face's `tokenizer.json`, with the settings beside it.

use crate::{accepted, joined, parts, scratch};
use gatefold::checkpoint::{Folder, vocabulary};
use gatefold::gguf::Metadata;
use gatefold::tokenizer::{ChatTemplate, Specials, Tokenizer};

/// Embeddings of the model that the tokenizer is for.
const N_VOCAB: usize = 512;

/// Reads the parts of the bytes as the tokenizer's files.
pub fn run(bytes: &[u8]) {
    let [tokenizer, config, special] = parts(bytes);
    let files = [
        ("tokenizer.json", tokenizer),
        ("tokenizer_config.json", if config.is_empty() { b"{}" } else { config }),
        ("special_tokens_map.json", if special.is_empty() { b"{}" } else { special }),
    ];
    read("tokenizer_json", &files);
}

/// Reads files in a folder as a tokenizer, and encodes a text.
pub(super) fn read(folder: &str, files: &[(&str, &[u8])]) {
    let paths = files.iter().map(|(name, bytes)| scratch::file(&format!("{folder}/{name}"), bytes));
    let path = paths.last().expect("there are files");
    let folder =
        Folder::open(path.parent().expect("the files are in a folder")).expect("it is there");
    let mut metadata = Metadata::new();
    if accepted(vocabulary::read(&folder, N_VOCAB, &mut metadata)).is_none() {
        return;
    }
    let tokenizer = Tokenizer::from_metadata(&metadata).expect("it was checked");
    encode(&tokenizer, "a b\u{2581}cé\n\n</s><0x0A>1234 \u{1F600}\0");
    let _ = ChatTemplate::from_metadata(&metadata);
}

/// Encodes a text. The ids are in the vocabulary.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str) {
    for specials in [Specials::Parse, Specials::AsText] {
        let Some(ids) = accepted(tokenizer.encode(text, specials)) else { continue };
        assert!(ids.iter().all(|&id| (id as usize) < tokenizer.n_vocab()));
        let _ = tokenizer.decode(&ids);
    }
}

/// Files that the library `tokenizers` wrote, small ones of both kinds, and settings.
pub fn seeds() -> Vec<Vec<u8>> {
    let config = r#"{"bos_token":"<s>","eos_token":{"content":"</s>"},"add_bos_token":true,"added_tokens_decoder":{"3":{"content":"<x>","special":true}},"chat_template":"{{ messages }}"}"#;
    let byte_level = r#"{"added_tokens":[{"id":3,"content":"<s>","special":true}],"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},"decoder":{"type":"ByteLevel"},"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}"#;
    let pieces = r#"{"added_tokens":[],"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"model":{"type":"BPE","unk_token":"<unk>","byte_fallback":true,"fuse_unk":true,"vocab":{"<unk>":0,"▁":1,"a":2,"▁a":3},"merges":[["▁","a"]]}}"#;
    vec![
        include_bytes!("../../../tests/fixtures/vocabulary/byte-level.tokenizer.json").to_vec(),
        include_bytes!("../../../tests/fixtures/vocabulary/llama.tokenizer.json").to_vec(),
        joined(&[byte_level, config]),
        joined(&[pieces, config, r#"{"eos_token":"a"}"#]),
    ]
}
