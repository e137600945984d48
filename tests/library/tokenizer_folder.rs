//! Folders with tokenizer files, and what becomes of them.

use gatefold::checkpoint::{Folder, vocabulary};
use gatefold::gguf::Metadata;
use serde_json::Value as Json;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A small SentencePiece model: 420 pieces.
pub const MODEL: &[u8] = include_bytes!("../fixtures/vocabulary/tokenizer.model");
/// The same as Hugging Face writes it.
pub const LLAMA: &str = include_str!("../fixtures/vocabulary/llama.tokenizer.json");
/// A small byte-level model: 421 tokens.
pub const BYTE_LEVEL: &str = include_str!("../fixtures/vocabulary/byte-level.tokenizer.json");

/// A folder with these files.
pub fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    folder
}

/// The metadata of a folder, or what is wrong with it.
pub fn read_folder(folder: &Path, n_vocab: usize) -> Result<Metadata, String> {
    let mut metadata = Metadata::new();
    match vocabulary::read(&Folder::open(folder).unwrap(), n_vocab, &mut metadata) {
        Ok(_) => Ok(metadata),
        Err(error) => Err(error.to_string()),
    }
}

/// The metadata of a folder with these files.
#[track_caller]
pub fn read(n_vocab: usize, files: &[(&str, &[u8])]) -> Metadata {
    read_folder(folder(files).path(), n_vocab).unwrap()
}

/// Asserts that these files are refused, in one line that contains `expected`.
#[track_caller]
pub fn refused(n_vocab: usize, files: &[(&str, &[u8])], expected: &[&str]) {
    let error = read_folder(folder(files).path(), n_vocab).map(|_| ()).unwrap_err();
    assert!(error.len() < 800 && !error.contains('\n'), "{error}");
    for part in expected {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

/// A JSON file with a change.
pub fn changed(json: &str, change: impl FnOnce(&mut Json)) -> Vec<u8> {
    let mut json = serde_json::from_str(json).unwrap();
    change(&mut json);
    serde_json::to_vec(&json).unwrap()
}

/// The id that a key `tokenizer.ggml.NAME_token_id` has.
pub fn id(metadata: &Metadata, name: &str) -> Option<u64> {
    metadata.u64(&format!("tokenizer.ggml.{name}_token_id")).unwrap()
}

/// The truth value of a key `tokenizer.ggml.NAME`.
pub fn flag(metadata: &Metadata, name: &str) -> bool {
    metadata.bool(&format!("tokenizer.ggml.{name}")).unwrap().unwrap()
}

/// Pieces and their types.
pub fn pieces(metadata: &Metadata) -> (&[String], Vec<i64>) {
    let kinds = metadata.i64s("tokenizer.ggml.token_type").unwrap().unwrap();
    (metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap(), kinds)
}

/// A field of a protocol buffer that is a string, bytes or a message.
pub fn bytes_field(number: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(number < 16 && bytes.len() < 1 << 14);
    let n_bytes = [bytes.len() as u8 | 0x80, (bytes.len() >> 7) as u8];
    [&[number << 3 | 2], &n_bytes[..], bytes].concat()
}

/// A field of a protocol buffer that is a small integer.
pub fn int_field(number: u8, value: u8) -> Vec<u8> {
    assert!(value < 0x80);
    vec![(number << 3) | 0x80, number >> 4, value]
}

/// A SentencePiece model as metadata has it, with the given trainer and normalizer specs.
pub fn sentencepiece_model(metadata: &Metadata, trainer: &[u8], normalizer: &[u8]) -> Vec<u8> {
    let (texts, kinds) = pieces(metadata);
    let scores = metadata.f32s("tokenizer.ggml.scores").unwrap().unwrap();
    let mut model = Vec::new();
    for ((text, kind), score) in texts.iter().zip(kinds).zip(scores) {
        let mut piece = bytes_field(1, text.as_bytes());
        piece.push(2 << 3 | 5);
        piece.extend(score.to_le_bytes());
        piece.extend(int_field(3, kind as u8));
        model.extend(bytes_field(1, &piece));
    }
    [model, bytes_field(2, trainer), bytes_field(3, normalizer)].concat()
}
