//! `gatefold imatrix`, and `gatefold quantize` by what it makes.

use crate::program::{Run, gatefold};
use gatefold::gguf::Gguf;
use gatefold::imatrix::Imatrix;
use gatefold_fixtures::random_mixtral::{self, ExpertLayout};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/model.gguf");
const TEXT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/imatrix/text.txt");

/// A folder that the program runs in.
struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    /// Runs a command; words that end in a file's ending are names in the folder.
    fn run(&self, words: &str) -> Run {
        let is_name = |word: &str| {
            let endings = [".gguf", ".dat", ".sums", ".txt", "/"];
            endings.iter().any(|ending| word.ends_with(ending)) && !word.starts_with('/')
        };
        let words = words.split(' ').map(|word| -> OsString {
            if is_name(word) { self.path(word).into() } else { word.into() }
        });
        gatefold(&words.collect::<Vec<_>>())
    }

    /// Reads the text in windows of 64 tokens.
    fn imatrix(&self, words: &str) -> Run {
        self.run(&format!("imatrix -m {DEMO} -f {TEXT} -c 64 {words}"))
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
        let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
        names.sort();
        names
    }
}

#[test]
fn a_text_is_the_same_matrix_in_any_steps_and_pieces() {
    let folder = Folder::new();
    let json = folder.imatrix("-o whole.gguf --json").succeeded().json();
    assert_eq!((&json["n_tensors"], &json["n_windows"]), (&40.into(), &13.into()));
    assert_eq!(folder.names(), ["whole.gguf"]);
    folder.imatrix("-o steps.gguf -b 200 -t 1").succeeded();
    assert_eq!(folder.read("steps.gguf"), folder.read("whole.gguf"));

    // The first windows, and then the others: a text that is cut where a window ends.
    folder.imatrix("-o first.gguf --chunks 5 --sums first.sums").succeeded();
    let first = Imatrix::open(&folder.path("first.gguf")).unwrap();
    assert_eq!(first.n_chunks, 5);
    // The same command does nothing again, and finds what it kept.
    let again = folder.read("first.gguf");
    folder.imatrix("-o first.gguf --chunks 5 --sums first.sums").succeeded();
    assert_eq!(folder.read("first.gguf"), again);
    folder.imatrix("-o x.gguf --sums first.sums").refused("other work");

    folder.run("imatrix --in-file first.sums --in-file first.gguf -o twice.gguf").succeeded();
    let twice = Imatrix::open(&folder.path("twice.gguf")).unwrap();
    assert_eq!((twice.n_chunks, twice.datasets.len()), (10, 1));
    folder.run("imatrix --in-file first.gguf -o first.dat --output-format dat").succeeded();
    folder.run("imatrix --in-file first.dat -o first.gguf").succeeded();
    assert_eq!(Imatrix::open(&folder.path("first.gguf")).unwrap().entries().len(), 40);
}

#[test]
fn other_texts_may_be_read() {
    let folder = Folder::new();
    let random = folder.run(&format!("imatrix -m {DEMO} --random 300 -c 64 -o random.gguf"));
    assert!(random.succeeded().stdout.contains("4 windows of 64 tokens"));
    let own = folder.run(&format!("imatrix -m {DEMO} -c 64 --chunks 2 -o own.gguf --json"));
    assert_eq!(own.succeeded().json()["datasets"][0], "gatefold's calibration text");
}

#[test]
fn nothing_else_is_written_over() {
    let folder = Folder::new();
    for (name, bytes) in [("model.gguf", fs::read(DEMO).unwrap()), ("notes.txt", b"Hi".into())] {
        fs::write(folder.path(name), &bytes).unwrap();
        folder.imatrix(&format!("-o {name}")).refused("is no importance matrix");
        assert!(folder.read(name) == bytes);
    }
    fs::write(folder.path("new.gguf.part"), "my own").unwrap();
    folder.imatrix("-o new.gguf").refused("no importance matrix");
    folder.run("imatrix --in-file model.gguf -o new.gguf").refused("is no importance matrix");
    folder.imatrix("-o none/x.gguf --chunks 1").refused("cannot write");
    fs::write(folder.path("short.txt"), "Hi").unwrap();
    let short = folder.run(&format!("imatrix -m {DEMO} -f short.txt -o x.gguf"));
    short.refused("give a longer text or a smaller -c");
}

/// What a key of a file says.
fn key(path: &Path, key: &str) -> Option<String> {
    Gguf::open(path).unwrap().metadata().str(key).unwrap().map(str::to_owned)
}

#[test]
fn quantizers_heed_it() {
    let folder = Folder::new();
    folder.imatrix("-o demo.gguf").succeeded();
    let q2 = format!("quantize {DEMO} q2.gguf --type Q2_K --allow-requantize");
    folder.run(&q2).succeeded();
    let plain = folder.read("q2.gguf");
    let weighted = folder.run(&format!("{q2} --imatrix demo.gguf --overwrite")).succeeded();
    let note = "says nothing of token_embd.weight, whose weights all count the same";
    assert!(weighted.stderr.contains(note), "{}", weighted.stderr);
    assert_ne!(folder.read("q2.gguf"), plain);
    let path = folder.path("q2.gguf");
    let imatrix = folder.path("demo.gguf");
    assert_eq!(key(&path, "quantize.imatrix.file").as_deref(), imatrix.to_str());
    assert_eq!(key(&path, "quantize.imatrix.dataset").as_deref(), Some(TEXT));
    let same = folder.read("q2.gguf");
    folder.run(&format!("{q2} --imatrix demo.gguf --overwrite --isa scalar -t 1")).succeeded();
    assert!(folder.read("q2.gguf") == same);

    let format = gatefold::DynFormat::by_name("F32").unwrap();
    let metadata = random_mixtral::metadata();
    let other = random_mixtral::file(&metadata, 512, format, ExpertLayout::Merged);
    fs::write(folder.path("other.gguf"), other).unwrap();
    let other = folder.run("quantize other.gguf x.gguf --type Q4_K_M --imatrix demo.gguf");
    // The same columns of attention, but other experts.
    assert_eq!(other.code, 1, "{}", other.stderr);
    assert!(other.stderr.contains("is of another model"), "{}", other.stderr);
}

#[test]
fn a_matrix_is_made_in_the_same_command() {
    let folder = Folder::new();
    let text = fs::read_to_string(TEXT).unwrap().repeat(3);
    fs::write(folder.path("text.txt"), text).unwrap();
    let q3 = format!("quantize {DEMO} q3.gguf --type Q3_K_M --allow-requantize");
    folder.run(&format!("{q3} --calibrate text.txt")).succeeded();
    assert_eq!(folder.names(), ["q3.gguf", "q3.gguf.imatrix.gguf", "text.txt"]);
    let calibrated = folder.read("q3.gguf.imatrix.gguf");
    folder.run(&format!("imatrix -m {DEMO} -f text.txt -o same.gguf")).succeeded();
    assert!(folder.read("same.gguf") == calibrated);
    // The file names the importance matrix, hence the same name again.
    let made = folder.read("q3.gguf");
    folder.run(&format!("{q3} --imatrix q3.gguf.imatrix.gguf --overwrite")).succeeded();
    assert!(folder.read("q3.gguf") == made);
    let both = folder.run(&format!("{q3} --imatrix same.gguf --calibrate"));
    assert_eq!(both.code, 1, "{}", both.stderr);
}

#[test]
fn a_checkpoint_is_made_a_model_that_can_read() {
    let folder = Folder::new();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/checkpoint");
    fs::create_dir(folder.path("in")).unwrap();
    for (from, to) in [
        ("hugging-face/config.json", "config.json"),
        ("merged.safetensors", "model.safetensors"),
        ("tokenizer.model", "tokenizer.model"),
    ] {
        fs::copy(fixture.join(from), folder.path("in").join(to)).unwrap();
    }
    let text = format!("--calibrate {TEXT}");
    let run = folder.run(&format!("quantize in/ q.gguf --type Q8_0 {text}")).succeeded();
    assert!(run.stderr.contains("to read the text with"), "{}", run.stderr);
    assert_eq!(folder.names(), ["in", "q.gguf", "q.gguf.imatrix.gguf"]);
}
