//! One small Mixtral in every layout is the same model, and the one that `transformers` computes.

use crate::small_checkpoint::{
    SHARDS, change_json, contents, fixture, folder, hugging_face, hugging_face_merged, mistral,
    write_safetensors,
};
use gatefold::Compute;
use gatefold::checkpoint::{Checkpoint, safetensors, torch};
use gatefold::gguf::{self, Bytes, Gguf, Metadata, TensorPlan, Writer};
use gatefold::model::{Chunk, KvCache, Model, Wanted};
use gatefold::{DynFormat, Isa};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

fn open(folder: &TempDir) -> Checkpoint {
    Checkpoint::open(folder.path()).unwrap()
}

/// A folder with its weights rewritten as one F32 file, under the names that `rename` gives them;
/// those without are left out.
fn rewritten(folder: TempDir, stem: &str, rename: impl Fn(&str) -> Option<String>) -> TempDir {
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let mut weights: Vec<_> = files
        .filter(|path| path.to_str().unwrap().ends_with(".safetensors") || is_torch(path))
        .collect();
    weights.sort();
    let paths: Vec<&Path> = weights.iter().map(|path| path.as_path()).collect();
    let stored = if is_torch(paths[0]) { torch::read(&paths) } else { safetensors::read(&paths) };
    let mut stored = stored.unwrap();
    let tensors = stored.tensors.into_iter();
    stored.tensors = tensors.filter_map(|(name, tensor)| Some((rename(&name)?, tensor))).collect();
    let path = folder.path().join("rewritten");
    write_safetensors(&stored, &path);
    weights.iter().for_each(|path| fs::remove_file(path).unwrap());
    fs::rename(path, folder.path().join(format!("{stem}.safetensors"))).unwrap();
    folder
}

fn in_f32(folder: TempDir, stem: &str) -> TempDir {
    rewritten(folder, stem, |name| Some(name.to_owned()))
}

/// A Hugging Face folder with PyTorch's files, of which these are no shards.
fn pytorch(others: &[&str]) -> TempDir {
    let shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    let files = [&shards, others, &["tokenizer.model"]].concat();
    let mut files: Vec<_> = files.iter().map(|&name| (name, name)).collect();
    files.push(("hugging-face/config.json", "config.json"));
    folder(&files)
}

#[test]
fn safetensors_go_before_pytorchs_files() {
    let folder = hugging_face();
    for name in ["pytorch_model.bin", "training_args.bin", "adapter_model.safetensors"] {
        fs::write(folder.path().join(name), b"damaged").unwrap();
    }
    open(&folder);
    let error = Checkpoint::open(&folder.path().join("pytorch_model.bin")).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("is not among the files"), "{error}");
    let folder = pytorch(&[]);
    fs::write(folder.path().join("training_args.bin"), b"damaged").unwrap();
    open(&folder);
    Checkpoint::open(&folder.path().join("pytorch_model-00002-of-00002.bin")).unwrap();
}

fn is_torch(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "pth")
}

/// A checkpoint as a GGUF in F32.
fn f32_gguf(checkpoint: &Checkpoint) -> Vec<u8> {
    let format = DynFormat::by_name("F32").unwrap();
    let contents = contents(checkpoint);
    let plans = contents.iter().map(|(name, shape, _)| TensorPlan {
        name: name.clone(),
        format,
        shape: shape.clone(),
    });
    let mut writer = Writer::new(Vec::new(), &checkpoint.metadata, plans.collect()).unwrap();
    contents.iter().for_each(|(_, _, bytes)| writer.tensor(bytes).unwrap());
    writer.finish().unwrap()
}

#[test]
fn every_layout_holds_the_same_tensors() {
    let expected = contents(&open(&hugging_face()));
    assert_eq!(expected.len(), 3 + 2 * 10);
    let layouts = [
        ("hugging face, merged experts, F16", hugging_face_merged()),
        ("hugging face, F32", in_f32(hugging_face(), "model")),
        ("hugging face, PyTorch's files with an index", pytorch(&["pytorch_model.bin.index.json"])),
        ("hugging face, PyTorch's files without", pytorch(&[])),
        ("hugging face, merged experts, F32", in_f32(hugging_face_merged(), "model")),
        ("mistral, BF16", mistral("separate.pth")),
        ("mistral, stacked experts, F16", mistral("stacked.pth")),
        ("mistral, F32 safetensors", in_f32(mistral("separate.pth"), "consolidated")),
        ("mistral, stacked, F32 safetensors", in_f32(mistral("stacked.pth"), "consolidated")),
    ];
    for (layout, folder) in &layouts {
        let found = contents(&open(folder));
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((&found.0, &found.1), (&expected.0, &expected.1), "{layout}");
            assert!(found.2 == expected.2, "{layout}: {}", found.0);
        }
        assert_eq!(found.len(), expected.len(), "{layout}");
    }
}

#[test]
fn every_layout_has_the_same_metadata() {
    let keys = |folder: &TempDir| -> Vec<(String, gguf::Value)> {
        let metadata = open(folder).metadata;
        let keys = metadata.iter().filter(|(key, _)| *key != "general.name");
        keys.map(|(key, value)| (key.to_owned(), value.clone())).collect()
    };
    let expected = keys(&hugging_face());
    for key in ["general.architecture", "llama.expert_count", "tokenizer.ggml.tokens"] {
        assert!(expected.iter().any(|(found, _)| found == key), "{key}");
    }
    assert_eq!(keys(&hugging_face_merged()), expected);
    assert_eq!(keys(&mistral("separate.pth")), expected);
    assert_eq!(keys(&mistral("stacked.pth")), expected);
}

#[test]
fn logits_agree_with_transformers() {
    let file = fs::read(fixture("logits.bin")).unwrap();
    let words: Vec<u32> = file.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
    let (tokens, expected) = words[1..].split_at(words[0] as usize);
    let expected: Vec<f32> = expected.iter().map(|&bits| f32::from_bits(bits)).collect();

    let gguf =
        Gguf::from_bytes("small.gguf", Bytes::from(f32_gguf(&open(&hugging_face())))).unwrap();
    let model = Model::load(&gguf).unwrap();
    let compute = Compute::new(Isa::detect(), Some(1)).unwrap();
    let cache_format = DynFormat::by_name("F32").unwrap();
    let mut cache = KvCache::new(model.config(), cache_format, tokens.len()).unwrap();
    let chunk = Chunk { cache: &mut cache, tokens, wanted: Wanted::All };
    let found = model.forward(&compute, &mut [chunk]).unwrap().values;

    assert_eq!(found.len(), expected.len());
    let n = expected.len() as f32;
    let mean = expected.iter().sum::<f32>() / n;
    let deviation = (expected.iter().map(|logit| (logit - mean).powi(2)).sum::<f32>() / n).sqrt();
    let differences = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    let worst = differences.fold(0.0, f32::max) / deviation;
    assert!(worst < 1e-4, "{worst} standard deviations");
}

#[test]
fn rows_can_be_read_in_any_slices() {
    for folder in [hugging_face(), hugging_face_merged(), mistral("stacked.pth")] {
        for tensor in &open(&folder).tensors {
            for part in &tensor.parts {
                let row_bytes = part.row_bytes();
                let mut whole = vec![0; part.rows * row_bytes];
                part.reader().read(0..part.rows, &mut whole).unwrap();
                for n_rows in [1, 7, 50] {
                    let mut reader = part.reader();
                    let mut sliced = vec![0; whole.len()];
                    for (slice_idx, out) in sliced.chunks_mut(n_rows * row_bytes).enumerate() {
                        let first = slice_idx * n_rows;
                        reader.read(first..first + out.len() / row_bytes, out).unwrap();
                    }
                    assert!(sliced == whole, "{} by {n_rows}", tensor.name);
                }
            }
        }
    }
}

#[test]
fn a_gguf_is_a_checkpoint_too() {
    let source = open(&hugging_face());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small.gguf");
    fs::write(&path, f32_gguf(&source)).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    assert!(contents(&checkpoint) == contents(&source));
    assert!(checkpoint.metadata.iter().eq(source.metadata.iter()));
}

#[test]
fn dense_models_have_their_own_names() {
    // What is left when the first expert of each layer takes every token.
    let rename = |name: &str, gate: &str, expert: &str, dense: [(&str, &str); 3]| {
        let part = name.split_once(expert).map(|(layer, part)| {
            let dense = dense.iter().find(|(of_expert, _)| *of_expert == part);
            dense.map(|(_, dense)| format!("{layer}{dense}"))
        });
        let dropped = name.contains(gate) || name.contains(".experts.");
        part.unwrap_or_else(|| (!dropped).then(|| name.to_owned()))
    };
    let hugging_face = rewritten(hugging_face(), "model", |name| {
        let dense = [
            ("w1.weight", "mlp.gate_proj.weight"),
            ("w2.weight", "mlp.down_proj.weight"),
            ("w3.weight", "mlp.up_proj.weight"),
        ];
        rename(name, ".gate.", "block_sparse_moe.experts.0.", dense)
    });
    change_json(&hugging_face, "config.json", |config| config["model_type"] = json!("mistral"));
    let mistral = rewritten(mistral("separate.pth"), "consolidated", |name| {
        let dense = [
            ("w1.weight", "feed_forward.w1.weight"),
            ("w2.weight", "feed_forward.w2.weight"),
            ("w3.weight", "feed_forward.w3.weight"),
        ];
        rename(name, ".gate.", "feed_forward.experts.0.", dense)
    });
    change_json(&mistral, "params.json", |params| params["moe"] = json!(null));
    let expected = contents(&open(&hugging_face));
    assert!(contents(&open(&mistral)) == expected);
    assert_eq!(expected.len(), 3 + 2 * 9);
    assert!(
        expected
            .iter()
            .any(|(name, shape, _)| { name == "blk.1.ffn_down.weight" && shape[..] == [32, 40] })
    );

    // The output of a tied model is stored or not.
    change_json(&hugging_face, "config.json", |config| config["tie_word_embeddings"] = json!(true));
    assert!(contents(&open(&hugging_face)) == expected[..expected.len() - 1]);
    let without_output = rewritten(hugging_face, "model", |name| {
        (name != "lm_head.weight").then(|| name.to_owned())
    });
    assert!(contents(&open(&without_output)) == expected[..expected.len() - 1]);
}

#[test]
fn names_may_lack_the_wrapper_around_the_model() {
    let bare = rewritten(hugging_face_merged(), "model", |name| {
        Some(name.trim_start_matches("model.").to_owned())
    });
    assert!(contents(&open(&bare)) == contents(&open(&hugging_face())));
}

/// A GGUF of December 2023: a tensor per expert, those of `coarse` in F16.
fn with_separate_experts(source: &Checkpoint, coarse: impl Fn(usize) -> bool) -> Vec<u8> {
    let format = |name| DynFormat::by_name(name).unwrap();
    let mut plans = Vec::new();
    let mut tensors = Vec::new();
    for (name, shape, bytes) in contents(source) {
        let (names, shape) = match shape[..] {
            [n_experts, rows, cols] => {
                let name = |idx| name.replace("_exps", &format!(".{idx}"));
                ((0..n_experts).map(name).collect(), vec![rows, cols])
            }
            _ => (vec![name], shape),
        };
        for (idx, (name, bytes)) in
            names.iter().zip(bytes.chunks_exact(bytes.len() / names.len())).enumerate()
        {
            let is_coarse = names.len() > 1 && coarse(idx);
            let weights: Vec<f32> =
                bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
            let format = if is_coarse { format("F16") } else { format("F32") };
            let mut bytes = vec![0; weights.len() * format.block_bytes];
            format.quantize(Isa::SCALAR, &weights, &mut bytes);
            plans.push(TensorPlan { name: name.clone(), format, shape: shape.clone() });
            tensors.push(bytes);
        }
    }
    let mut writer = Writer::new(Vec::new(), &source.metadata, plans).unwrap();
    tensors.iter().for_each(|bytes| writer.tensor(bytes).unwrap());
    writer.finish().unwrap()
}

#[test]
fn experts_with_tensors_of_their_own_are_merged() {
    let source = open(&hugging_face());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.gguf");
    for (coarse, format) in [(vec![], "F32"), (vec![1], "F32"), (vec![0, 1, 2], "F16")] {
        fs::write(&path, with_separate_experts(&source, |idx| coarse.contains(&idx))).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let merged = checkpoint.tensors.iter().find(|tensor| tensor.name.contains("_exps"));
        assert_eq!(merged.unwrap().format.name, format, "{coarse:?}");
        assert!(contents(&checkpoint) == contents(&source), "{coarse:?}");
    }
}

#[test]
fn a_file_of_a_folder_stands_for_it() {
    let both = hugging_face();
    for (name, here) in [("params.json", "params.json"), ("separate.pth", "consolidated.00.pth")] {
        fs::copy(fixture(name), both.path().join(here)).unwrap();
    }
    let kind = |path: &Path| Checkpoint::open(path).unwrap().kind;
    for name in ["", "config.json", SHARDS[1]] {
        assert_eq!(kind(&both.path().join(name)), "a Hugging Face folder", "{name}");
    }
    for name in ["params.json", "consolidated.00.pth"] {
        assert_eq!(kind(&both.path().join(name)), "a folder of Mistral's own layout", "{name}");
    }
    // Without its own weights, config.json alone says nothing.
    SHARDS.iter().for_each(|shard| fs::remove_file(both.path().join(shard)).unwrap());
    assert_eq!(kind(both.path()), "a folder of Mistral's own layout");
}

/// Keys of a GGUF from the fixture's config with these values; null takes one away.
fn keys(changes: Value) -> Metadata {
    let folder = hugging_face();
    change_json(&folder, "config.json", |config| {
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
    });
    open(&folder).metadata
}

#[test]
fn rotary_parameters_are_read_from_where_any_version_writes_them() {
    let base = |changes| keys(changes).f32("llama.rope.freq_base").unwrap();
    assert_eq!(base(json!({})), Some(1e6));
    assert_eq!(base(json!({"rope_parameters": {"rope_theta": 5e5}})), Some(5e5));
    assert_eq!(base(json!({"rope_parameters": null, "rope_theta": 2e5})), Some(2e5));
    assert_eq!(base(json!({"rope_parameters": null})), Some(1e6));
    let scaled = keys(json!({
        "rope_parameters": null,
        "rope_scaling": {"type": "linear", "factor": 4.0},
    }));
    assert_eq!(scaled.str("llama.rope.scaling.type").unwrap(), Some("linear"));
    assert_eq!(scaled.f32("llama.rope.scaling.factor").unwrap(), Some(4.0));
    // The first object that says something is all that counts, as in transformers.
    let linear = json!({"rope_type": "linear", "factor": 2.0, "rope_theta": 3e5});
    for changes in [
        json!({"rope_scaling": {}, "rope_parameters": linear}),
        json!({"rope_scaling": linear, "rope_parameters": {"rope_theta": 7.0}}),
    ] {
        let keys = keys(changes);
        assert_eq!(keys.f32("llama.rope.freq_base").unwrap(), Some(3e5));
        assert_eq!(keys.f32("llama.rope.scaling.factor").unwrap(), Some(2.0));
    }
}

#[test]
fn windows_are_those_that_transformers_makes_of_a_configuration() {
    let folder = |window: Option<Value>| {
        let folder = hugging_face();
        change_json(&folder, "config.json", |config| {
            let keys = config.as_object_mut().unwrap();
            keys.remove("sliding_window");
            keys.extend(window.map(|window| ("sliding_window".to_owned(), window)));
        });
        folder
    };
    let mixtral = |window| {
        let checkpoint = open(&folder(window));
        let window = checkpoint.metadata.u64("llama.attention.sliding_window").unwrap();
        (window, checkpoint.notes.iter().any(|note| note.contains("sliding_window")))
    };
    assert_eq!(mixtral(None), (None, false));
    assert_eq!(mixtral(Some(json!(null))), (None, false));
    assert_eq!(mixtral(Some(json!(0))), (None, false));
    assert_eq!(mixtral(Some(json!(4096))), (Some(4096), true));
    assert_eq!(mixtral(Some(json!(1 << 20))), (Some(1 << 20), false));
}

#[test]
fn the_number_of_tokens_may_be_left_to_the_embedding() {
    let folder = mistral("separate.pth");
    let path = folder.path().join("params.json");
    let params = fs::read_to_string(&path).unwrap();
    for vocab_size in ["\"vocab_size\": -1", "\"other\": 0"] {
        fs::write(&path, params.replace("\"vocab_size\": 272", vocab_size)).unwrap();
        assert_eq!(open(&folder).metadata.u64("llama.vocab_size").unwrap(), Some(272));
    }
}
