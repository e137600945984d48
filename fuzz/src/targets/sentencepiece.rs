//! SentencePiece's `tokenizer.model`, a protocol buffer.

use super::tokenizer_json::read;

/// Reads the bytes as the model of a tokenizer.
pub fn run(bytes: &[u8]) {
    read("sentencepiece", &[("tokenizer.model", bytes)]);
}

/// A model that SentencePiece made, and one of three pieces.
pub fn seeds() -> Vec<Vec<u8>> {
    let model = include_bytes!("../../../tests/fixtures/vocabulary/tokenizer.model");
    // Three pieces with scores and kinds; of the trainer's and the normalizer's settings those that
    // are read.
    let small = b"\x0a\x0c\x0a\x05<unk>\x15\0\0\0\0\x18\x02\x0a\x07\x0a\x03<s>\x18\x03\
        \x0a\x08\x0a\x03\xe2\x96\x81\x15\0\0\x80\xbf\x12\x08\x18\x02\xc0\x02\0\xc8\x02\x01\
        \x1a\x08\x0a\x02ok\x18\x01\x20\0";
    vec![model.to_vec(), small.to_vec()]
}
