//! Documents, one on each line.

/// Reads the bytes as a file of documents.
pub fn run(bytes: &[u8]) {
    super::html::read("fuzz.jsonl", bytes);
}

/// Lines with everything that matters, and lines that are at fault.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "{\"id\":\"a\",\"text\":\"b\\n\\u00e4\",\"more\":[1,{\"x\":null}]}\n{\"id\":12.5e3,\"text\":\"c\"}\n\n{\"text\":\"d\"}",
        "\u{FEFF}{\"text\":\"a\",\"id\":\"x\"}\r\n{\"text\":\"a\",\"id\":\"x\"}\n{\"id\":[],\"text\":7}\n[1]\n{",
    ]
    .map(|lines| lines.as_bytes().to_vec())
    .into()
}
