//! `gatefold tokenize` from the outside.

use crate::program;
use assert_cmd::Command;
use gatefold::gguf::{Metadata, Writer};
use gatefold_fixtures::vocabulary;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A folder with a file that holds a vocabulary, and nothing else.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn with(metadata: &Metadata) -> Folder {
        let folder = Folder { folder: TempDir::new().unwrap() };
        let file = Writer::new(Vec::new(), metadata, vec![]).unwrap().finish().unwrap();
        folder.write("model.gguf", &file);
        folder
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn tokenize(&self, arguments: &[&str], input: &str) -> Command {
        let mut command = Command::from_std(program::command());
        command.current_dir(self.folder.path()).args(["tokenize", "-m", "model.gguf"]);
        command.args(arguments).write_stdin(input);
        command
    }

    #[track_caller]
    fn prints(&self, arguments: &[&str], input: &str, expected: &str) {
        self.tokenize(arguments, input).assert().success().stdout(expected.to_owned());
    }

    #[track_caller]
    fn fails(&self, arguments: &[&str], input: &str, expected: &str) {
        let output = self.tokenize(arguments, input).output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn ids_come_as_json() {
    let folder = Folder::with(&vocabulary::mistral());
    folder.write("text.txt", "Hello\u{1F999}</s>".as_bytes());
    folder.write("empty.txt", b"");
    let ids = "22557,243,162,169,156,700,28713,28767";
    folder.prints(&["--json", "-f", "text.txt"], "", &format!("[{ids}]\n"));
    folder.prints(&["--json", "--bos", "-f", "text.txt"], "", &format!("[1,{ids}]\n"));
    folder.prints(&["--json", "-f", "empty.txt"], "", "[]\n");
    folder.prints(&["--json"], "Hello", "[22557]\n");
    folder.prints(&["--json", "--special", "-p", "Hello</s>"], "", "[22557,2]\n");
}

#[test]
fn ids_come_as_a_list() {
    let folder = Folder::with(&vocabulary::mistral());
    folder.prints(&["-p", "Hello\n"], "", " 22557  ▁Hello\n    13  <0x0A>\n");
}

#[test]
fn ids_say_what_their_pieces_do_not() {
    let folder = Folder::with(&vocabulary::mistral());
    let goat = "   243  <0xF0>\n   162  <0x9F>\n   169  <0xA6>\n   156  <0x99>  \"\u{1F999}\"\n";
    folder.prints(&["-p", "\u{1F999}"], "", &format!(" 28705  ▁\n{goat}"));
    let folder = Folder::with(&vocabulary::smollm2_small("smollm"));
    let id = |piece: &str| {
        let metadata = vocabulary::smollm2_small("smollm");
        let pieces = metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap();
        pieces.iter().position(|known| known == piece).unwrap()
    };
    let lines =
        [("the", ""), ("Ġ", "  \" \""), ("ã", "  <0xE3>"), ("ĥ", "  <0x83>"), ("Ľ", "  <0x9B>")];
    let mut expected = String::new();
    for (piece, meaning) in lines {
        expected += &format!("{:>6}  {piece}{meaning}\n", id(piece));
    }
    let expected = expected.trim_end().to_owned() + "  \"ホ\"\n";
    folder.prints(&["-p", "the ホ"], "", &expected);
}

#[test]
fn texts_come_back_to_the_byte() {
    let folder = Folder::with(&vocabulary::smollm2_small("smollm"));
    let text = "  naïve 東京\r\n\n</s> don't  \n";
    folder.write("text.txt", text.as_bytes());
    let ids = folder.tokenize(&["--json", "-f", "text.txt"], "").output().unwrap().stdout;
    let ids = String::from_utf8(ids).unwrap();
    folder.prints(&["--decode"], &ids, text);
    folder.prints(&["--decode", "-p", ids.trim().trim_matches(['[', ']'])], "", text);
    folder.prints(&["--decode", "--json"], "[]", "\"\"\n");
}

#[test]
fn failures_are_one_clear_line() {
    let folder = Folder::with(&vocabulary::mistral());
    folder.write("latin1.txt", b"caf\xE9 au lait");
    folder.fails(&["-f", "latin1.txt"], "", "latin1.txt is not UTF-8 text: byte 3");
    folder.fails(&["-f", "missing.txt"], "", "missing.txt");
    folder.fails(&["--decode", "-p", "1,32000"], "", "token id 32000 is out of range");
    folder.fails(&["--decode"], "[1, two]", "`two` is not a token id");
    let missing = "error: model.gguf: `tokenizer.ggml.tokens` is missing; the file has no complete";
    Folder::with(&Metadata::new()).fails(&["-p", "x"], "", missing);
    let mut metadata = vocabulary::mistral();
    metadata.set("tokenizer.ggml.tokens", gatefold::gguf::Value::U32(1));
    let mistyped = "error: model.gguf: key tokenizer.ggml.tokens is 1";
    Folder::with(&metadata).fails(&["-p", "x"], "", mistyped);
    let mut metadata = vocabulary::smollm2_small("smollm");
    metadata.set("tokenizer.ggml.pre", gatefold::gguf::Value::String("klingon".into()));
    Folder::with(&metadata).fails(&["-p", "x"], "", "`tokenizer.ggml.pre` is `klingon`");
}
