//! `gatefold eval --base`: how far a quantized model is from the original.

use crate::program::{Run, gatefold, read_npy};
use gatefold::DynFormat;
use gatefold::gguf::{Array, Metadata, Value};
use gatefold_fixtures::random_mixtral;
use gatefold_fixtures::random_mixtral::ExpertLayout;
use serde_json::Value as Json;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tempfile::{NamedTempFile, TempDir};

const N_VOCAB: usize = 200;
const WINDOW: usize = 24;

/// The keys of a model with 200 tokens, of which the last one is `last`.
fn metadata(last: &str) -> Metadata {
    let mut metadata = random_mixtral::metadata();
    let mut pieces: Vec<String> = (0..N_VOCAB).map(|id| format!("piece {id}")).collect();
    for (id, piece) in [(0, "<unk>"), (1, "<s>"), (2, "</s>"), (N_VOCAB - 1, last)] {
        pieces[id] = piece.into();
    }
    metadata.set("tokenizer.ggml.model", Value::String("llama".into()));
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(pieces)));
    let scores = (0..N_VOCAB).map(|id| -(id as f32)).collect();
    metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(scores)));
    let mut types = vec![1; N_VOCAB];
    types[..3].copy_from_slice(&[2, 3, 3]);
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(types)));
    metadata
}

fn write_model(name: &str, format: &str, last: &str) -> String {
    let format = DynFormat::by_name(format).unwrap();
    let bytes = random_mixtral::file(&metadata(last), N_VOCAB, format, ExpertLayout::Merged);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(name);
    let mut file = NamedTempFile::new_in(folder).unwrap();
    file.write_all(&bytes).unwrap();
    file.persist(&path).unwrap();
    path.into_os_string().into_string().unwrap()
}

/// The original in F16, made once.
fn original() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| write_model("divergence-f16.gguf", "F16", "last"))
}

/// The same in Q4_0.
fn quantized() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| write_model("divergence-q4_0.gguf", "Q4_0", "last"))
}

/// Ids of three windows and a rest.
fn ids() -> Vec<usize> {
    (0..3 * WINDOW + 5).map(|i| (i * i * 31 + i * 7 + 3) % N_VOCAB).collect()
}

fn list(ids: &[usize]) -> String {
    ids.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

fn eval(model: &str, ids: &[usize], args: &[&str]) -> Run {
    let ids = list(ids);
    let common = ["eval", "-m", model, "--ids", &ids, "-c", "24", "--json"];
    gatefold(&[&common[..], args].concat())
}

fn compare(model: &str, base: &str) -> Json {
    eval(model, &ids(), &["--base", base]).succeeded().json()
}

fn number(json: &Json, path: &str) -> f64 {
    json.pointer(path).unwrap_or_else(|| panic!("{path}: {json}")).as_f64().unwrap()
}

/// What `--save-base` makes of the original, and the folder that it is in.
fn saved() -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("original.logits");
    eval(original(), &ids(), &["--save-base", path.to_str().unwrap()]).succeeded();
    (folder, path)
}

/// Log probabilities in f64, by the textbook.
fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let sum: f64 = logits.iter().map(|&logit| f64::from(logit).exp()).sum();
    logits.iter().map(|&logit| f64::from(logit) - sum.ln()).collect()
}

fn top(row: &[f64]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
}

/// Mean and standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviations: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, (deviations / (n - 1.0) / n).sqrt())
}

/// For each scored token: the log probabilities of it by two models, their divergence, and whether
/// their first choices are the same; from the logits that `--logits` writes.
fn by_the_textbook() -> Vec<(f64, f64, f64, bool)> {
    let folder = TempDir::new().unwrap();
    let npy = folder.path().join("logits.npy");
    let rows = |model: &str, window: &[usize]| -> Vec<Vec<f64>> {
        eval(model, window, &["--logits", npy.to_str().unwrap()]).succeeded();
        read_npy(&npy, N_VOCAB).iter().map(|row| log_softmax(row)).collect()
    };
    let mut tokens = Vec::new();
    for window in ids().chunks_exact(WINDOW) {
        let (base, model) = (rows(original(), window), rows(quantized(), window));
        for position in WINDOW / 2..WINDOW - 1 {
            let (p, q, next) = (&base[position], &model[position], window[position + 1]);
            let kl = p.iter().zip(q).map(|(p, q)| p.exp() * (p - q)).sum();
            tokens.push((p[next], q[next], kl, top(p) == top(q)));
        }
    }
    tokens
}

#[test]
fn a_model_is_no_distance_from_itself() {
    let json = compare(original(), original());
    for figure in ["kl_divergence/value", "kl_percentiles/max", "rms_probability_change/value"] {
        assert_eq!(number(&json, &format!("/divergence/{figure}")), 0.0, "{figure}: {json}");
    }
    assert_eq!(number(&json, "/divergence/same_top/value"), 1.0);
    assert_eq!(number(&json, "/divergence/perplexity_ratio/value"), 1.0);
    assert_eq!(json["divergence"]["perplexity"], json["divergence"]["base_perplexity"]);
    assert_eq!(json["n_scored"], 3 * (WINDOW / 2 - 1));
}

#[test]
fn the_figures_are_those_of_the_logits() {
    let json = compare(quantized(), original());
    let tokens = by_the_textbook();
    let column = |figure: fn(&(f64, f64, f64, bool)) -> f64| -> Vec<f64> {
        tokens.iter().map(figure).collect()
    };
    let check = |name: &str, expected: f64| {
        let found = number(&json, &format!("/divergence/{name}"));
        assert!((found - expected).abs() < 1e-9 * expected.abs(), "{name}: {found}, {expected}");
    };
    let estimate = |name: &str, (value, standard_error): (f64, f64)| {
        check(&format!("{name}/value"), value);
        check(&format!("{name}/standard_error"), standard_error);
    };
    let exp = |(value, error): (f64, f64)| (value.exp(), value.exp() * error);
    estimate("kl_divergence", mean(&column(|token| token.2)));
    estimate("same_top", mean(&column(|token| f64::from(token.3))));
    estimate("perplexity", exp(mean(&column(|token| -token.1))));
    estimate("base_perplexity", exp(mean(&column(|token| -token.0))));
    let ln_ratio = mean(&column(|token| token.0 - token.1));
    estimate("ln_perplexity_ratio", ln_ratio);
    estimate("perplexity_ratio", exp(ln_ratio));
    estimate("mean_probability_change", mean(&column(|token| token.1.exp() - token.0.exp())));
    let squares = mean(&column(|token| (token.1.exp() - token.0.exp()).powi(2)));
    check("rms_probability_change/value", squares.0.sqrt());

    let mut kl = column(|token| token.2);
    kl.sort_by(f64::total_cmp);
    assert_eq!(kl.len(), 33, "an odd number has a value in the middle");
    check("kl_percentiles/median", kl[16]);
    check("kl_percentiles/p90", kl[28] + 0.8 * (kl[29] - kl[28]));
    check("kl_percentiles/max", kl[32]);
    assert!(kl[0] > 0.0 && number(&json, "/divergence/same_top/value") < 1.0, "{json}");
    assert_eq!(json["perplexity"], json["divergence"]["perplexity"]["value"]);
}

#[test]
fn a_saved_base_gives_the_same_figures() {
    let (folder, path) = saved();
    let path = path.to_str().unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no partial file is left");
    let (live, saved) = (compare(quantized(), original()), compare(quantized(), path));
    assert_eq!(saved["perplexity"], live["perplexity"]);
    assert_eq!(saved["divergence"]["same_top"], live["divergence"]["same_top"]);
    for figure in ["kl_divergence/value", "kl_percentiles/max", "base_perplexity/value"] {
        let figure = format!("/divergence/{figure}");
        let ratio = number(&saved, &figure) / number(&live, &figure);
        assert!((ratio - 1.0).abs() < 1e-3, "{figure}: {ratio}");
    }
    let itself = compare(original(), path);
    let kl = number(&itself, "/divergence/kl_percentiles/max");
    assert!(kl > 0.0 && kl < 6e-8, "{kl}: a step is 2^-11 nats");
    assert_eq!(number(&itself, "/divergence/same_top/value"), 1.0);

    let plain = eval(original(), &ids(), &[]).succeeded();
    let again = eval(original(), &ids(), &["--save-base", path]).succeeded();
    assert_eq!(plain.stdout, again.stdout, "saving changes no figure");
}

#[test]
fn the_table_has_the_figures() {
    let text =
        ["eval", "-m", quantized(), "--base", original(), "-c", "24", "--ids", &list(&ids())];
    let table = gatefold(&text).succeeded().stdout;
    for label in ["perplexity ", "  ratio ", "KL divergence, mean ", "  99.9% ", "same top token "]
    {
        assert!(table.lines().any(|line| line.starts_with(label)), "{label:?}: {table}");
    }
    assert!(table.ends_with("33 tokens scored, in 3 windows of 24\n"), "{table}");
}

#[test]
fn a_base_of_something_else_is_refused() {
    let (folder, path) = saved();
    let path = path.to_str().unwrap();
    let refused = |ids: &[usize], args: &[&str], why: &str| {
        eval(quantized(), ids, &[&["--base", path], args].concat()).refused(why);
    };
    let mut other = ids();
    other[WINDOW + 3] += 1;
    let why = format!("token {} of the windows is {}", WINDOW + 3, other[WINDOW + 3] - 1);
    refused(&other, &[], &why);
    refused(&ids()[..2 * WINDOW], &[], "another text: 3 windows, and this one has 2");
    let shorter = ["eval", "-m", quantized(), "--base", path, "-c", "12", "--ids", &list(&ids())];
    gatefold(&shorter).refused("windows of 24 tokens, and these have 12; use -c 24");

    let stranger = write_model("divergence-stranger.gguf", "Q8_0", "lost");
    eval(&stranger, &ids(), &["--base", path]).refused("another vocabulary, of 200 tokens");
    eval(&stranger, &ids(), &["--base", original()]).refused("token 199 is \"last\", not \"lost\"");

    let text = folder.path().join("text.txt");
    fs::write(&text, "GATE").unwrap();
    for (base, why) in [
        (text.to_str().unwrap(), "text.txt: is not a GGUF file"),
        ("nowhere.logits", "nowhere.logits: cannot be read"),
        (folder.path().to_str().unwrap(), "is a folder"),
    ] {
        eval(quantized(), &ids(), &["--base", base]).refused(why);
    }
    let nowhere = folder.path().join("none/base.logits");
    eval(original(), &ids(), &["--save-base", nowhere.to_str().unwrap()]).refused("cannot write ");
    for flag in ["--save-base", "--logits"] {
        eval(original(), &ids(), &[flag, original()]).refused("is another kind of file");
        eval(original(), &ids(), &[flag, "/dev/stdout"]).refused("is not a file");
    }
    let both = eval(original(), &ids(), &["--save-base", "x", "--base", path]);
    assert_eq!((both.code, both.stdout.as_str()), (1, ""), "{}", both.stderr);
}

#[test]
fn damaged_files_of_saved_logits_are_refused() {
    let (_folder, path) = saved();
    let whole = fs::read(&path).unwrap();
    let refused = |bytes: &[u8], why: &str| {
        fs::write(&path, bytes).unwrap();
        eval(quantized(), &ids(), &["--base", path.to_str().unwrap()]).refused(why);
    };
    for len in [8, 11, 63, 64, 100] {
        refused(&whole[..len], "original.logits: is cut short");
    }
    let spoiled = |offset: usize, value: u8| {
        let mut bytes = whole.clone();
        bytes[offset] = value;
        bytes
    };
    refused(&spoiled(8, 9), "version 9, and this gatefold reads version 1");
    // Sizes far beyond the file, which must not be believed.
    refused(&spoiled(15, 0xff), "another vocabulary");
    refused(&spoiled(23, 0xff), "windows of 18374686479671623704 tokens");
    refused(&spoiled(31, 0xff), "another text: 18374686479671623683 windows");
    refused(&spoiled(32, whole[32] ^ 1), "another vocabulary");
    refused(&whole[..whole.len() - 1], "is damaged; save it again");
    refused(&[&whole[..], &[0]].concat(), "is damaged; save it again");
    // Any row is a prediction: nothing in it can be wrong.
    let mut noise = whole.clone();
    let rows = 64 + 4 * 3 * WINDOW;
    noise[rows..].iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * i) as u8);
    fs::write(&path, &noise).unwrap();
    assert!(
        number(&compare(quantized(), path.to_str().unwrap()), "/divergence/kl_divergence/value")
            > 0.1
    );
}
