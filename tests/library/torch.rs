//! PyTorch's own files, made by `fixtures/torch/make.py`: their tensors are found where they are,
//! and what holds no plain tensors is refused with advice.

use gatefold::Isa;
use gatefold::checkpoint::{StoredTensor, StoredTensors, torch};
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fixtures/torch", name].iter().collect()
}

fn read(name: &str) -> StoredTensors {
    torch::read(&[&fixture(name)]).unwrap()
}

fn refusal(name: &str) -> String {
    let message = torch::read(&[&fixture(name)]).unwrap_err().to_string();
    assert_eq!(message.lines().count(), 1, "{message}");
    assert!(message.contains(name), "{message}");
    message
}

fn weights(tensor: &StoredTensor) -> Vec<f32> {
    let format = tensor.format.as_ref().unwrap();
    let mut weights = vec![0.0; tensor.shape.iter().product()];
    let mut bytes = vec![0; weights.len() * format.block_bytes];
    tensor.file.read_at(tensor.offset, &mut bytes).unwrap();
    format.dequantize(Isa::SCALAR, &bytes, &mut weights);
    weights
}

/// What make.py fills tensors with.
fn counting(start: f32, n: usize) -> Vec<f32> {
    (0..n).map(|i| start + i as f32 / 2.0).collect()
}

fn assert_tensor(stored: &StoredTensors, name: &str, format: &str, shape: &[usize], start: f32) {
    let tensor = &stored.tensors[name];
    assert_eq!(tensor.format.as_ref().unwrap().name, format, "{name}");
    assert_eq!(tensor.shape, shape, "{name}");
    assert_eq!(weights(tensor), counting(start, shape.iter().product()), "{name}");
}

#[test]
fn finds_tensors_of_every_type_and_the_views_of_a_storage() {
    let stored = read("types.pth");
    for (name, format, shape, start) in [
        ("float32", "F32", &[4, 6][..], 0.0),
        ("rows", "F32", &[2, 6], 3.0),
        ("row", "F32", &[1, 6], 9.0),
        ("float16", "F16", &[2, 3], 30.0),
        ("bfloat16", "BF16", &[5], 40.0),
        ("parameter", "BF16", &[3], 10.0),
        ("parameter_with_state", "F32", &[2, 2], 20.0),
        ("stacked", "F32", &[2, 2, 3], 50.0),
        ("scalar", "F32", &[], 60.0),
        ("empty", "F32", &[0, 3], 0.0),
    ] {
        assert_tensor(&stored, name, format, shape, start);
    }
    let whole = &stored.tensors["float32"];
    assert_eq!(stored.tensors["rows"].offset, whole.offset + 6 * 4);
    assert_eq!(stored.tensors["positions"].format.as_ref().unwrap_err(), "int64");
    assert_eq!(stored.tensors.len(), 11);
    assert_eq!(stored.files.len(), 1);
}

#[test]
fn reads_all_protocols_and_a_dictionary_around_the_weights() {
    for name in ["protocol2.pth", "protocol4.pth", "protocol5.pth", "wrapped.pt"] {
        let stored = read(name);
        assert_tensor(&stored, "weight", "F32", &[2, 3], 0.0);
        assert_tensor(&stored, "bias", "F32", &[2], 10.0);
        assert_eq!(stored.tensors.len(), 2, "{name}");
    }
}

#[test]
fn reads_pickles_that_remember_many_values() {
    let stored = read("many.pth");
    assert_eq!(stored.tensors.len(), 40);
    for i in 0..40 {
        assert_tensor(&stored, &format!("t{i}"), "F32", &[1], i as f32);
    }
}

#[test]
fn puts_the_tensors_of_several_files_together() {
    let paths = [fixture("many.pth"), fixture("types.pth")];
    let stored = torch::read(&[&paths[0], &paths[1]]).unwrap();
    assert_eq!(stored.tensors.len(), 51);
    assert_eq!(stored.files[1].path, paths[1]);
    assert_eq!(stored.tensors["row"].file.path, paths[1]);

    let paths = [fixture("protocol2.pth"), fixture("protocol4.pth")];
    let message = torch::read(&[&paths[0], &paths[1]]).unwrap_err().to_string();
    assert!(message.contains("has a tensor weight"), "{message}");
    assert!(message.contains("protocol2.pth") && message.contains("protocol4.pth"), "{message}");
}

#[test]
fn refuses_other_files_of_pytorch_with_advice() {
    for (name, wanted) in [
        ("legacy.pth", "PyTorch before 1.6 wrote it"),
        ("script.pt", "TorchScript"),
        ("module.pth", "asks for torch.nn.modules.linear.Linear"),
        ("list.pth", "holds a list"),
        ("transposed.pth", "its tensor weight has the strides [1, 6] for the shape [6, 4]"),
        ("make.py", "is not a PyTorch zip file"),
    ] {
        let message = refusal(name);
        assert!(message.contains(wanted), "{message}");
    }
}
