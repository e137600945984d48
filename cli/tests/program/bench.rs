//! `gatefold bench`, and the models that it makes.

use crate::program::{command, gatefold};
use ::gatefold::architecture::{Config, LLAMA, RopeConfig};
use gatefold::Compute;
use gatefold::gguf::Gguf;
use gatefold::model::{Chunk, KvCache, Model, Wanted};
use gatefold::tokenizer::Tokenizer;
use gatefold::{DynFormat, FORMATS, Isa};
use gatefold_cli::bench::synthetic::{Shape, Synthetic};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

/// A Mixtral of toy size.
const SMALL: Shape = Shape {
    name: "small",
    config: Config {
        architecture: &LLAMA,
        dim: 256,
        n_layers: 2,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 64,
        hidden_dim: 512,
        n_experts: 8,
        top_k: 2,
        context_len: 128,
        window: None,
        norm_epsilon: 1e-5,
        rope: RopeConfig::plain(64, 1e6),
    },
    n_vocab: 300,
};

fn make(format: &str, n_layers: usize, folder: &Path) -> Gguf {
    let compute = Compute::new(Isa::detect(), Some(2)).unwrap();
    let synthetic = Synthetic::new(&SMALL, n_layers, DynFormat::by_name(format).unwrap()).unwrap();
    Gguf::open(&synthetic.make(folder, &compute, |_, _| {}).unwrap()).unwrap()
}

#[test]
fn tests_have_their_names_and_positive_figures() {
    let args = ["bench", "-p", "16,40", "-n", "2", "-b", "1,3", "-d", "70", "-r", "2", "--json"];
    let run = gatefold(&args).succeeded();
    let json = run.json();
    let tests = json.as_array().unwrap();
    let names: Vec<_> = tests.iter().map(|test| test["test"].as_str().unwrap()).collect();
    assert_eq!(names, ["pp16", "pp40", "tg2", "tg2@3", "tg2@d70"]);
    for test in tests {
        let figure = |value: &serde_json::Value| {
            let figure = value.as_f64().unwrap();
            assert!(figure > 0.0 && figure.is_finite(), "{test}");
            figure
        };
        let median = figure(&test["tokens_per_second"]);
        assert!(figure(&test["tokens_per_second_min"]) <= median, "{test}");
        assert!(figure(&test["tokens_per_second_max"]) >= median, "{test}");
        let nearest = &test[test["ceiling"].as_str().unwrap()];
        assert_eq!(figure(&test["ceiling_share"]), figure(&nearest["share"]), "{test}");
        for ceiling in ["read_bandwidth", "int8_rate"] {
            assert!(figure(&test[ceiling]["share"]) <= figure(&nearest["share"]), "{test}");
            figure(&test[ceiling]["ceiling"]);
            figure(&test[ceiling]["rate"]);
        }
    }
}

#[test]
fn tables_have_a_row_per_test() {
    let args = ["bench", "-p", "8", "-n", "1", "-r", "1", "-t", "1", "--isa", "scalar"];
    let table = gatefold(&args).succeeded().stdout;
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines[0], "the demo model: 1 thread, scalar, F16 cache, medians of 1");
    assert!(lines[2].starts_with("pp8 ") && lines[3].starts_with("tg1 "), "{table}");

    let markdown = gatefold(&[&args[..], &["--markdown"]].concat()).succeeded().stdout;
    let row = markdown.lines().find(|line| line.starts_with("| pp8 |")).unwrap();
    assert_eq!(row.matches(" | ").count(), 5, "{markdown}");
}

/// Runs tokens through a model, and returns the share of the matrices that they used.
fn used_share(gguf: &Gguf, n_tokens: u32) -> f64 {
    let compute = Compute::new(Isa::detect(), Some(2)).unwrap();
    let model = Model::load(gguf).unwrap();
    let tokens: Vec<u32> = (100..100 + n_tokens).collect();
    let mut cache = KvCache::new(model.config(), DynFormat::by_name("F16").unwrap(), 128).unwrap();
    let chunk = Chunk { cache: &mut cache, tokens: &tokens, wanted: Wanted::Last };
    let logits = model.forward(&compute, &mut [chunk]).unwrap();
    let largest = logits.values.iter().fold(0.0, |max: f32, logit| max.max(logit.abs()));
    assert!(logits.values.iter().all(|logit| logit.is_finite()), "{}", gguf.path().display());
    assert!((1.0..10.0).contains(&largest), "{}: {largest}", gguf.path().display());
    let matrices = gguf.tensors().filter(|tensor| tensor.shape.len() > 1);
    let products = matrices.filter(|tensor| tensor.name != "token_embd.weight");
    let n_bytes: usize = products.map(|tensor| tensor.bytes.len()).sum();
    logits.weight_bytes as f64 / n_bytes as f64
}

#[test]
fn every_format_makes_a_model_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    for format in FORMATS {
        let gguf = make(format.name, 1, folder.path());
        assert_eq!(&gguf.tensor("blk.0.ffn_up_exps.weight").unwrap().format, &format);
        assert_eq!(used_share(&gguf, 128), 1.0, "{format}");
    }
}

#[test]
fn tokens_use_all_experts_in_every_layer() {
    let folder = tempfile::tempdir().unwrap();
    let gguf = make("Q4_0", 12, folder.path());
    assert_eq!(used_share(&gguf, 128), 1.0);
    // At random, 16 tokens that choose 2 of 8 experts leave one in a hundred unused.
    assert!(used_share(&gguf, 16) > 0.95);
    let tokenizer = Tokenizer::from_metadata(gguf.metadata()).unwrap();
    assert!(!tokenizer.encode_text("any text").unwrap().is_empty());
}

#[test]
fn a_model_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let compute = Compute::new(Isa::detect(), Some(2)).unwrap();
    let synthetic = Synthetic::new(&SMALL, 1, DynFormat::by_name("Q8_0").unwrap()).unwrap();
    let mut last = (0, 0);
    let path = synthetic.make(folder.path(), &compute, |done, all| last = (done, all)).unwrap();
    let made = fs::read(&path).unwrap();
    assert!(0 < last.0 && last.0 <= last.1 && last.1 == made.len() as u64, "{last:?}");

    let again = synthetic.make(folder.path(), &compute, |_, _| panic!("it is there")).unwrap();
    assert_eq!(again, path);
    fs::write(&path, &made[..1000]).unwrap();
    synthetic.make(folder.path(), &compute, |_, _| {}).unwrap();
    assert!(fs::read(&path).unwrap() == made, "the same bytes in every run");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// Before anything runs; and what nobody asked for is as long as the context lets it be.
#[test]
fn what_the_context_cannot_hold_is_refused() {
    let demo = ["bench", "-n", "1", "-r", "1", "-p"];
    let said =
        "contexts of up to 1024 tokens, and these tests take more: pp2000 (2000), pp99999 (99999);";
    gatefold_refuses(&[&demo[..], &["1024,2000,99999"]].concat(), said);
    gatefold_refuses(&["bench", "-p", "0", "-n", "8", "-d", "1017"], "more: tg8@d1017 (1025);");
    gatefold_refuses(&["bench", "-p", "0", "-n", "0"], "there is nothing to measure");
    let folder = tempfile::tempdir().unwrap();
    let gguf = make("Q4_0", 1, folder.path());
    let path = gguf.path().to_str().unwrap();
    let run = gatefold(&["bench", "-m", path, "-r", "1", "--json"]).succeeded();
    let json = run.json();
    let names: Vec<_> = json.as_array().unwrap().iter().map(|test| &test["test"]).collect();
    assert_eq!(names, ["pp128", "tg32"]);
}

/// With the note of the demo model before it.
fn gatefold_refuses(args: &[&str], why: &str) {
    let run = gatefold(args);
    assert_eq!((run.code, &*run.stdout), (1, ""), "{}", run.stderr);
    assert!(run.stderr.contains(why), "{}", run.stderr);
}

#[test]
fn what_takes_long_is_told() {
    let mut command = command();
    command.args(["bench", "-p", "1024", "-n", "0", "-r", "4096", "-t", "1"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with(" of 4096 tests done")));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_cannot_be_made_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let dir = file.to_str().unwrap();
    let small = ["bench", "--synthetic", "mixtral-8x7b", "--layers", "1", "--synthetic-dir"];
    gatefold(&[&small[..], &[dir]].concat()).refused("--synthetic-dir names another folder");
    let huge = ["bench", "--synthetic", "mixtral-8x7b", "--layers", "1024", "--type", "F32"];
    let dir = folder.path().join("new");
    let huge = [&huge[..], &["--synthetic-dir", dir.to_str().unwrap()]].concat();
    gatefold(&huge).refused("use fewer --layers");
    assert_eq!(fs::read_dir(dir).unwrap().count(), 0, "what is not to be is not left behind");
}
