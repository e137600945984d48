//! Folders that hold something else than a checkpoint: they are told what that is.

use crate::small_checkpoint::{SHARDS, change_json, hugging_face};
use gatefold::checkpoint::Checkpoint;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

#[track_caller]
fn refused(path: &Path, expected: &[&str]) {
    let error = Checkpoint::open(path).map(|_| ()).unwrap_err().to_string();
    assert!(error.lines().count() == 1 && error.len() < 600, "{error}");
    for part in expected {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

/// The small checkpoint with tensors of other names in the place of some.
fn quantized(names: &[&str]) -> TempDir {
    let folder = hugging_face();
    fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    fs::remove_file(folder.path().join(SHARDS[1])).unwrap();
    let views = names.iter().map(|name| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::I32, vec![2], &[0; 8]);
        (*name, view.unwrap())
    });
    safetensors::serialize_to_file(views, None, &folder.path().join(SHARDS[1])).unwrap();
    folder
}

#[test]
fn quantized_folders_are_told_by_what() {
    let with = |config: Value| {
        let folder = quantized(&["model.layers.1.mlp.x"]);
        change_json(&folder, "config.json", |json| {
            json.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        });
        folder
    };
    let method = |method: &str| with(json!({"quantization_config": {"quant_method": method}}));
    for (name, expected) in [
        ("gptq", "GPTQ"),
        ("awq", "AWQ"),
        ("bitsandbytes", "bitsandbytes"),
        ("exl2", "EXL2"),
        ("fp8", "FP8"),
        ("compressed-tensors", "compressed-tensors"),
        ("of the future", "of the future"),
    ] {
        let expected = format!("is quantized as {expected} (told from quantization_config");
        refused(method(name).path(), &[&expected, "download the 16-bit model"]);
    }
    let mlx = json!({"quantization": {"bits": 4}, "_name_or_path": "org/model"});
    refused(with(mlx).path(), &["is quantized as MLX", "made from (org/model), and"]);
    for (file, kind) in [("quantize_config.json", "GPTQ"), ("quant_config.json", "AWQ")] {
        let folder = with(json!({"_name_or_path": "/home/me/model"}));
        fs::write(folder.path().join(file), "{}").unwrap();
        refused(folder.path(), &[kind, file, "made from, and"]);
    }
    for (tensor, kind) in
        [("a.g_idx", "GPTQ"), ("a.qweight", "GPTQ or AWQ"), ("a.weight.absmax", "bitsandbytes")]
    {
        refused(quantized(&[tensor]).path(), &[kind, "the names of its tensors"]);
    }
}

/// Settings of a quantization stay behind when weights are converted back.
#[test]
fn what_can_be_read_is_read_whatever_else_is_there() {
    let folder = hugging_face();
    change_json(&folder, "config.json", |json| {
        json["quantization_config"] = json!({"quant_method": "bitsandbytes"});
    });
    for name in ["adapter_config.json", "quantize_config.json", "model.onnx"] {
        fs::write(folder.path().join(name), "{}").unwrap();
    }
    Checkpoint::open(folder.path()).unwrap();
}

#[test]
fn adapters_are_told_their_model() {
    let folder = TempDir::new().unwrap();
    let config = br#"{"base_model_name_or_path": "mistralai/Mixtral-8x7B-v0.1", "r": 8}"#;
    fs::write(folder.path().join("adapter_config.json"), config).unwrap();
    fs::write(folder.path().join("adapter_model.safetensors"), b"x").unwrap();
    let expected = ["LoRA adapter", "(mistralai/Mixtral-8x7B-v0.1)", "merge_and_unload"];
    refused(folder.path(), &expected);
    refused(&folder.path().join("adapter_model.safetensors"), &expected);
    let other = hugging_face();
    fs::copy(other.path().join("config.json"), folder.path().join("config.json")).unwrap();
    refused(folder.path(), &expected);
}

#[test]
fn models_of_other_programs_are_named() {
    for (name, expected) in [
        ("model_q4.onnx", "model_q4.onnx, a model for ONNX Runtime"),
        ("flax_model.msgpack", "Flax"),
        ("tf_model.h5", "TensorFlow"),
        ("weights.npz", "MLX"),
        ("mixtral.Q4_K_M.gguf", "name a file: mixtral.Q4_K_M.gguf"),
    ] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(name), b"").unwrap();
        refused(folder.path(), &[expected]);
    }
}
