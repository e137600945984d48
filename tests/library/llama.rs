//! What some models of the architecture have and others do not: stretched rotations, a sliding
//! window, biases, normalized heads. From `config.json` to logits, against `transformers`.

use gatefold::Compute;
use gatefold::checkpoint::Checkpoint;
use gatefold::gguf::Gguf;
use gatefold::model::{Chunk, KvCache, Model, Wanted};
use gatefold::{DynFormat, Isa};
use gatefold_fixtures::conversion::Conversion;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/llama").join(name)
}

/// A checkpoint of this configuration with these files of weights.
fn folder(config: &Value, files: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    for file in files.iter().map(|file| format!("{file}.safetensors")) {
        fs::copy(fixture(&file), folder.path().join(file)).unwrap();
    }
    let tokenizer = fixture("../checkpoint/tokenizer.model");
    fs::copy(tokenizer, folder.path().join("tokenizer.model")).unwrap();
    folder
}

/// A model of the fixtures, and which logits of it are known.
struct Case {
    name: String,
    model: Model,
    tokens: Vec<u32>,
    context_len: usize,
    rows: Vec<usize>,
}

impl Case {
    fn new(case: &Value, tokens: &[u32]) -> Case {
        let beside = case["beside"].as_array().unwrap().iter().map(|file| file.as_str().unwrap());
        let files: Vec<&str> = ["weights"].into_iter().chain(beside).collect();
        let folder = folder(&case["config"], &files);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        let conversion = Conversion { folder, checkpoint };
        let (_, files) = conversion.run(&conversion.plan("F32"), "out.gguf").unwrap();
        let size = |key: &str| case[key].as_u64().unwrap() as usize;
        let rows = case["rows"].as_array().unwrap();
        Case {
            name: case["name"].as_str().unwrap().to_owned(),
            model: Model::load(&Gguf::open(&files[0]).unwrap()).unwrap(),
            tokens: tokens[..size("n_tokens")].to_vec(),
            context_len: size("context_len"),
            rows: rows.iter().map(|row| row.as_u64().unwrap() as usize).collect(),
        }
    }

    /// The logits of all tokens, read in chunks of these lengths, the last over and over.
    fn logits(&self, chunk_lens: &[usize]) -> Vec<f32> {
        let compute = Compute::new(Isa::detect(), Some(2)).unwrap();
        let cache_format = DynFormat::by_name("F32").unwrap();
        let mut cache = KvCache::new(self.model.config(), cache_format, self.context_len).unwrap();
        let (mut tokens, mut logits) = (&self.tokens[..], Vec::new());
        let mut lens = chunk_lens.iter().chain(std::iter::repeat(chunk_lens.last().unwrap()));
        while !tokens.is_empty() {
            let len = tokens.len().min(*lens.next().unwrap());
            let chunk = tokens.split_off(..len).unwrap();
            let chunk = Chunk { cache: &mut cache, tokens: chunk, wanted: Wanted::All };
            logits.extend(self.model.forward(&compute, &mut [chunk]).unwrap().values);
        }
        logits
    }
}

fn cases() -> Vec<Case> {
    let file: Value = serde_json::from_slice(&fs::read(fixture("cases.json")).unwrap()).unwrap();
    let tokens = file["tokens"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32);
    let tokens: Vec<u32> = tokens.collect();
    file["cases"].as_array().unwrap().iter().map(|case| Case::new(case, &tokens)).collect()
}

#[test]
fn logits_agree_with_transformers() {
    let file = fs::read(fixture("logits.bin")).unwrap();
    let mut expected = file.as_chunks().0.iter().map(|&bits| f32::from_le_bytes(bits));
    let cases = cases();
    for case in &cases {
        let (found, n_vocab) = (case.logits(&[512]), case.model.n_vocab());
        let (mut worst, mut squares) = (0f32, 0f32);
        for row in &case.rows {
            for (found, expected) in found[row * n_vocab..][..n_vocab].iter().zip(&mut expected) {
                worst = worst.max((found - expected).abs());
                squares += expected * expected;
            }
        }
        let deviation = (squares / (case.rows.len() * n_vocab) as f32).sqrt();
        // Frequencies in float32 there turn far positions by some 1e-4 more or less.
        println!("{}: {:.6} standard deviations", case.name, worst / deviation);
        assert!(worst < 1e-3 * deviation, "{}: {}", case.name, worst / deviation);
    }
    assert_eq!((cases.len(), expected.count()), (17, 0));
}

#[test]
fn windows_do_not_depend_on_chunks() {
    let windows = cases().into_iter().filter(|case| case.model.config().window.is_some());
    for case in windows {
        let expected = case.logits(&[usize::MAX]);
        for chunk_lens in [&[1, 63, 7, 64, 500][..], &[1000, 17, 1]] {
            let found = case.logits(chunk_lens);
            let same = found.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(same && found.len() == expected.len(), "{} in {chunk_lens:?}", case.name);
        }
    }
}

#[test]
fn dense_models_have_the_windows_of_their_kind() {
    let file: Value = serde_json::from_slice(&fs::read(fixture("cases.json")).unwrap()).unwrap();
    let of_kind = |kind: &str, window: Option<Value>| {
        let mut config = file["cases"][0]["config"].clone();
        config["model_type"] = kind.into();
        config["max_position_embeddings"] = 32_768.into();
        config.as_object_mut().unwrap().extend(window.map(|it| ("sliding_window".to_owned(), it)));
        let checkpoint = Checkpoint::open(folder(&config, &["weights"]).path()).unwrap();
        let window = checkpoint.metadata.u64("llama.attention.sliding_window").unwrap();
        (window, checkpoint.notes.iter().any(|note| note.contains("sliding_window")))
    };
    // What the classes of transformers 4.57 and 5.23 make of the same configurations.
    assert_eq!(of_kind("mistral", None), (Some(4096), true));
    assert_eq!(of_kind("mistral", Some(Value::Null)), (None, false));
    assert_eq!(of_kind("mistral", Some(512.into())), (Some(512), false));
    assert_eq!(of_kind("llama", None), (None, false));
    assert_eq!(of_kind("llama", Some(512.into())), (None, true));
}
