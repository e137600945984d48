//! The checkpoints of `fixtures/checkpoint`: one small Mixtral in every layout. `make.py` there
//! made them.

use gatefold::checkpoint::Part;
use gatefold::checkpoint::{Checkpoint, StoredTensors, Tensor};
use gatefold::{DynFormat, Isa};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub const INDEX: &str = "model.safetensors.index.json";
pub const SHARDS: [&str; 2] =
    ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

/// The path of a fixture.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/checkpoint").join(name)
}

/// A folder with copies of fixtures: `(name there, name here)`.
pub fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (fixture_name, name) in files {
        fs::copy(fixture(fixture_name), folder.path().join(name)).unwrap();
    }
    folder
}

/// A Hugging Face folder: two shards in BF16 with an index, an expert per tensor.
pub fn hugging_face() -> TempDir {
    let names = [INDEX, SHARDS[0], SHARDS[1], "config.json"];
    let there = names.map(|name| format!("hugging-face/{name}"));
    let mut files: Vec<_> = there.iter().map(String::as_str).zip(names).collect();
    files.push(("tokenizer.model", "tokenizer.model"));
    folder(&files)
}

/// A Hugging Face folder: one file in F16, the experts of a layer merged.
pub fn hugging_face_merged() -> TempDir {
    folder(&[
        ("hugging-face/config.json", "config.json"),
        ("merged.safetensors", "model.safetensors"),
        ("tokenizer.model", "tokenizer.model"),
    ])
}

/// A folder of Mistral's, from `separate.pth` or `stacked.pth`.
pub fn mistral(weights: &str) -> TempDir {
    folder(&[
        (weights, "consolidated.00.pth"),
        ("params.json", "params.json"),
        ("tokenizer.model", "tokenizer.model"),
    ])
}

/// Replaces a JSON file by what `change` makes of it.
pub fn change_json(folder: &TempDir, name: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.path().join(name);
    let mut json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut json);
    fs::write(path, json.to_string()).unwrap();
}

/// All weights of a tensor, as little-endian F32.
pub fn f32_bytes(tensor: &Tensor) -> Vec<u8> {
    let of_part = |part: &Part| {
        let mut bytes = vec![0; part.rows * part.row_bytes()];
        part.reader().read(0..part.rows, &mut bytes).unwrap();
        in_f32(part.format, &bytes, part.rows * part.cols)
    };
    tensor.parts.iter().flat_map(of_part).collect()
}

fn in_f32(format: &DynFormat, bytes: &[u8], n_weights: usize) -> Vec<u8> {
    let mut weights = vec![0.0; n_weights];
    format.dequantize(Isa::SCALAR, bytes, &mut weights);
    weights.iter().flat_map(|weight| weight.to_le_bytes()).collect()
}

/// Names, shapes and F32 bytes of all tensors, in order.
pub fn contents(checkpoint: &Checkpoint) -> Vec<(String, Vec<usize>, Vec<u8>)> {
    let tensors = checkpoint.tensors.iter();
    tensors.map(|tensor| (tensor.name.clone(), tensor.shape.clone(), f32_bytes(tensor))).collect()
}

/// Writes tensors as a safetensors file in F32, by the format's own library.
pub fn write_safetensors(stored: &StoredTensors, path: &Path) {
    let tensors = stored.tensors.iter().map(|(name, tensor)| {
        let format = tensor.format.clone().unwrap();
        let n_weights = tensor.shape.iter().product();
        let mut bytes = vec![0; n_weights * format.block_bytes];
        tensor.file.read_at(tensor.offset, &mut bytes).unwrap();
        (name, tensor.shape.clone(), in_f32(format, &bytes, n_weights))
    });
    let tensors: Vec<_> = tensors.collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize_to_file(views, None, path).unwrap();
}
