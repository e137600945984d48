//! Importance matrices against `transformers` in float32, and against llama.cpp's files.
//! `fixtures/imatrix/make.py` says how the expected ones were made.

use gatefold::gguf::{Bytes, Gguf};
use gatefold::imatrix::{Collector, Imatrix, PRIOR_TOKENS, load, save};
use gatefold::model::{Model, of_units};
use gatefold::{Compute, DynFormat, Isa};
use gatefold_fixtures::random_mixtral::{self, ExpertLayout, N_VOCAB};
use serde_json::Value as Json;
use std::fs;
use std::path::{Path, PathBuf};

const EXPECTED: &str = include_str!("../fixtures/imatrix/expected.json");
const DOCUMENTS: &str = include_str!("../fixtures/routing/expected.json");

fn model(layout: ExpertLayout) -> Model {
    let format = DynFormat::by_name("F32").unwrap();
    let bytes = random_mixtral::file(&random_mixtral::metadata(), N_VOCAB, format, layout);
    Model::load(&Gguf::from_bytes("random-mixtral.gguf", Bytes::from(bytes)).unwrap()).unwrap()
}

/// Where a fixture of llama.cpp lies.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/imatrix").join(name)
}

/// What windows make, read so many tokens at a time.
fn collected(
    model: &Model,
    (isa, n_threads): (Isa, usize),
    (window_len, batch_len): (usize, usize),
    windows: &[Vec<u32>],
) -> Imatrix {
    let compute = Compute::new(isa, Some(n_threads)).unwrap();
    let format = DynFormat::by_name("F32").unwrap();
    let mut collector = Collector::new(model, &compute, format, (window_len, batch_len)).unwrap();
    let windows: Vec<&[u32]> = windows.iter().map(Vec::as_slice).collect();
    for group in windows.chunks(collector.windows_per_step()) {
        collector.read(group).unwrap();
    }
    collector.imatrix("texts").unwrap()
}

/// Windows of tokens that are all different.
fn windows(n_windows: u32, window_len: u32) -> Vec<Vec<u32>> {
    let token = |idx: u32| idx * 7919 % 30_000 + 3;
    let windows = (0..n_windows).map(|window| window * window_len..(window + 1) * window_len);
    windows.map(|window| window.map(token).collect()).collect()
}

#[test]
fn sums_are_those_of_transformers() {
    let expected: Json = serde_json::from_str(EXPECTED).unwrap();
    let documents: Json = serde_json::from_str(DOCUMENTS).unwrap();
    let ids = |document: &Json| -> Vec<u32> {
        let ids = document["tokens"].as_array().unwrap().iter();
        ids.map(|id| id.as_u64().unwrap() as u32).collect()
    };
    let texts: Vec<_> = documents["documents"].as_array().unwrap().iter().map(ids).collect();
    let model = model(ExpertLayout::Merged);
    let found = collected(&model, (Isa::detect(), 2), (64, 128), &texts);
    let every = expected["every"].as_u64().unwrap() as usize;
    let entries = expected["entries"].as_object().unwrap();
    assert_eq!(found.entries().len(), entries.len());
    for (name, wanted) in entries {
        let entry = found.entry(name).unwrap_or_else(|| panic!("{name}"));
        let counts = wanted["counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap());
        assert_eq!(entry.counts, counts.collect::<Vec<_>>(), "{name}");
        let sums = wanted["sums"].as_array().unwrap().iter().map(|sum| sum.as_f64().unwrap());
        let sums: Vec<f64> = sums.collect();
        assert_eq!(entry.units.len(), sums.len() * every, "{name}");
        for (idx, (wanted, units)) in sums.iter().zip(entry.units.iter().step_by(every)).enumerate()
        {
            let sum = of_units(*units);
            assert!((sum - wanted).abs() <= 2e-5 * wanted, "{name} {idx}: {sum} {wanted}");
        }
    }
}

#[test]
fn sums_are_the_same_bits_however_texts_are_read() {
    let windows = windows(3, 150);
    let best = (Isa::detect(), 2);
    let model = model(ExpertLayout::Merged);
    let whole = collected(&model, best, (150, 512), &windows);
    for (compute, batch_len) in [((Isa::SCALAR, 1), 150), (best, 64), ((Isa::detect(), 5), 300)] {
        assert!(collected(&model, compute, (150, batch_len), &windows) == whole, "{batch_len}");
    }
    let mut reversed = windows.clone();
    reversed.reverse();
    assert!(collected(&model, best, (150, 512), &reversed) == whole);
    let separate = self::model(ExpertLayout::Separate);
    assert!(collected(&separate, best, (150, 512), &windows) == whole);
}

#[test]
fn pieces_that_are_kept_and_merged_are_one_run() {
    let windows = windows(3, 80);
    let model = model(ExpertLayout::Merged);
    let collect = |windows: &[_]| collected(&model, (Isa::detect(), 2), (80, 80), windows);
    let whole = collect(&windows);
    let mut merged = Imatrix::default();
    for piece in [2..3, 0..1, 1..2] {
        let mut kept = Vec::new();
        save(&collect(&windows[piece]), "key", &mut kept).unwrap();
        merged.merge(&load(Some("key"), &*kept).unwrap()).unwrap();
        assert!(load(Some("other"), &*kept).unwrap_err().to_string().contains("other work"));
    }
    assert!(merged == whole);
    // Files in 32 bits, too, since what is written does not depend on how the sums came about.
    let written = |imatrix: &Imatrix| {
        let mut out = Vec::new();
        imatrix.write_gguf(&mut out).unwrap();
        out
    };
    assert_eq!(written(&merged), written(&whole));
}

#[test]
fn sums_that_are_kept_show_damage() {
    let model = model(ExpertLayout::Merged);
    let mut kept = Vec::new();
    let imatrix = collected(&model, (Isa::detect(), 2), (64, 64), &windows(1, 64));
    save(&imatrix, "key", &mut kept).unwrap();
    assert!(load(None, &*kept).unwrap() == imatrix);
    for len in (0..kept.len()).step_by(997).chain([kept.len() - 1]) {
        assert!(load(None, &kept[..len]).is_err(), "{len}");
    }
    for at in (0..kept.len()).step_by(2003) {
        let mut damaged = kept.clone();
        damaged[at] ^= 1;
        assert!(load(None, &*damaged).is_err(), "{at}");
    }
}

#[test]
fn files_of_llama_cpp_are_read_and_written() {
    let imatrix = Imatrix::open(&fixture("llama.gguf")).unwrap();
    assert_eq!((imatrix.n_chunks, imatrix.chunk_len), (13, 64));
    assert_eq!(imatrix.datasets, ["text.txt"]);
    let down = imatrix.entry("blk.0.ffn_down_exps.weight").unwrap();
    assert_eq!(down.counts.iter().sum::<u64>(), 2 * 13 * 64);
    let mut legacy = Vec::new();
    imatrix.write_legacy(&mut legacy).unwrap();
    assert_eq!(legacy, fs::read(fixture("llama.dat")).unwrap());

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.gguf");
    imatrix.write_gguf(fs::File::create(&path).unwrap()).unwrap();
    assert!(Imatrix::open(&path).unwrap() == imatrix);

    // The older form has lost how much each expert saw, and nothing else that matters.
    let legacy = Imatrix::open(&fixture("llama.dat")).unwrap();
    for (name, n_matrices) in [("blk.0.attn_q.weight", 1), ("blk.0.attn_output.weight", 1)] {
        let cols = imatrix.entry(name).unwrap().units.len();
        let [a, b] = [&imatrix, &legacy].map(|it| it.importance(name, n_matrices, cols).unwrap());
        for (a, b) in a.unwrap().of_matrix(0).iter().zip(b.unwrap().of_matrix(0)) {
            assert!((a - b).abs() <= 1e-6 * a, "{name}: {a} {b}");
        }
    }
}

/// A file of the older form with these entries.
fn legacy(entries: &[(&str, i32, &[f32])]) -> Vec<u8> {
    let mut bytes = (entries.len() as i32).to_le_bytes().to_vec();
    for (name, n_calls, values) in entries {
        bytes.extend((name.len() as i32).to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend(n_calls.to_le_bytes());
        bytes.extend((values.len() as i32).to_le_bytes());
        values.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    }
    bytes
}

fn opened(bytes: &[u8]) -> Result<Imatrix, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    Imatrix::open(&path).map_err(|error| error.to_string())
}

#[test]
fn experts_of_their_own_are_joined_and_missing_ones_have_the_mean() {
    let entries: [(&str, i32, &[f32]); 3] = [
        ("blk.0.ffn_gate.2.weight", 1, &[4.0, 8.0]),
        ("blk.0.ffn_gate.0.weight", 1, &[2.0, 4.0]),
        ("blk.0.attn_q.weight", 2, &[2.0, 6.0]),
    ];
    let imatrix = opened(&legacy(&entries)).unwrap();
    let gate = imatrix.importance("blk.0.ffn_gate_exps.weight", 4, 2).unwrap().unwrap();
    let prior = PRIOR_TOKENS as f32;
    let mixed = |own: f32, mean: f32| (512.0 * own + prior * mean) / (512.0 + prior);
    let expected = [
        [mixed(2.0, 3.0), mixed(4.0, 6.0)],
        [3.0, 6.0],
        [mixed(4.0, 3.0), mixed(8.0, 6.0)],
        [3.0, 6.0],
    ];
    for (idx, expected) in expected.iter().enumerate() {
        for (found, expected) in gate.of_matrix(idx).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{idx}: {found} {expected}");
        }
    }
    // Up sees what gate sees; values are sums over calls.
    assert_eq!(imatrix.importance("blk.0.ffn_up_exps.weight", 4, 2).unwrap(), Some(gate));
    let key = imatrix.importance("blk.0.attn_k.weight", 1, 2).unwrap().unwrap();
    assert_eq!(key.of_matrix(0), [1.0, 3.0]);
    assert_eq!(imatrix.importance("output.weight", 1, 2).unwrap(), None);
    let error = imatrix.importance("blk.0.attn_q.weight", 1, 3).unwrap_err().to_string();
    assert!(error.contains("of another model"), "{error}");
}

#[test]
fn an_expert_that_saw_nothing_is_known_by_its_ones() {
    let name = "blk.0.ffn_down_exps.weight";
    let imatrix = opened(&legacy(&[(name, 3, &[3.0, 6.0, 3.0, 3.0])])).unwrap();
    let down = imatrix.importance(name, 2, 2).unwrap().unwrap();
    assert_eq!(down.of_matrix(1), [1.0, 2.0]);
}

#[test]
fn damaged_files_are_refused() {
    for name in ["llama.gguf", "llama.dat"] {
        let bytes = fs::read(fixture(name)).unwrap();
        for len in (0..bytes.len() - 20).step_by(37) {
            let error = opened(&bytes[..len]).unwrap_err();
            assert!(!error.contains(char::is_control), "{name} {len}: {error}");
        }
        for at in (0..bytes.len()).step_by(61) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x80;
            // Whatever it says then: no panic, and no memory for what is not there.
            let _ = opened(&damaged);
        }
    }
    type Entries<'a> = &'a [(&'a str, i32, &'a [f32])];
    let cases: [(Entries<'_>, &str); 7] = [
        (&[("a", 1, &[f32::NAN])], "entry a: a sum of squares"),
        (&[("a", 1, &[-1.0])], "entry a: a sum of squares"),
        (&[("a", 1, &[f32::INFINITY])], "entry a: a sum of squares"),
        (&[("a", 1, &[])], "entry a: a sum of squares"),
        (&[("a", 1, &[1.0]), ("a", 1, &[1.0])], "entry a twice"),
        (&[], "is no importance matrix"),
        (
            &[("blk.0.ffn_up.0.weight", 1, &[1.0]), ("blk.0.ffn_up.1.weight", 1, &[1.0, 2.0])],
            "of another model",
        ),
    ];
    for (entries, why) in cases {
        let error = opened(&legacy(entries)).unwrap_err();
        assert!(error.contains(why), "{why:?}: {error}");
    }
    for lie in [i32::MAX, -1, 1 << 20] {
        let mut bytes = legacy(&[("a", 1, &[1.0])]);
        let at = bytes.len() - 8;
        bytes[at..at + 4].copy_from_slice(&lie.to_le_bytes());
        assert!(opened(&bytes).unwrap_err().contains("cut short"), "{lie}");
    }
    let model = random_mixtral::file(
        &random_mixtral::metadata(),
        512,
        DynFormat::by_name("F32").unwrap(),
        ExpertLayout::Merged,
    );
    assert!(opened(&model).unwrap_err().contains("is no importance matrix"));
    assert!(opened(b"What is this?").unwrap_err().contains("no importance matrix"));
}

#[test]
fn sums_of_other_models_are_not_merged() {
    let mut imatrix = opened(&legacy(&[("a", 1, &[1.0, 2.0])])).unwrap();
    let other = opened(&legacy(&[("a", 1, &[1.0, 2.0, 3.0])])).unwrap();
    let error = imatrix.merge(&other).unwrap_err().to_string();
    assert!(error.contains("entry a has 2 sums"), "{error}");
    let same = imatrix.clone();
    imatrix.merge(&same).unwrap();
    assert_eq!(imatrix.importance("a", 1, 2).unwrap(), same.importance("a", 1, 2).unwrap());
}
