//! Numbers that no format of weights has are read as PyTorch reads them.

use crate::small_checkpoint::{SHARDS, contents, fixture, hugging_face, write_safetensors};
use ::safetensors::Dtype;
use ::safetensors::tensor::TensorView;
use gatefold::checkpoint::{Checkpoint, Decoding, Numbers, Scale, StoredTensors, safetensors};
use gatefold::{DynFormat, Isa};
use std::fs;
use tempfile::TempDir;

fn numbers() -> StoredTensors {
    safetensors::read(&[&fixture("numbers.safetensors")]).unwrap()
}

/// A tensor as F32.
fn floats(stored: &StoredTensors, name: &str) -> Vec<f32> {
    let tensor = &stored.tensors[name];
    let (format, n): (&DynFormat, usize) =
        (tensor.format.as_ref().unwrap(), tensor.shape.iter().product());
    let (mut bytes, mut floats) = (vec![0; n * format.block_bytes], vec![0.0; n]);
    tensor.file.read_at(tensor.offset, &mut bytes).unwrap();
    format.dequantize(Isa::SCALAR, &bytes, &mut floats);
    floats
}

#[test]
fn numbers_and_scales_are_those_of_pytorch() {
    let stored = numbers();
    let names = stored.tensors.keys().filter_map(|name| name.strip_suffix(".expected"));
    for name in names {
        let tensor = &stored.tensors[name];
        let (rows, cols) = (tensor.shape[0], tensor.shape[1]);
        let scale = ["_scale", "_scale_inv"].map(|end| format!("{name}{end}"));
        let scale = scale.iter().find_map(|name| Some((name, stored.tensors.get(name)?)));
        let scale = scale.map(|(name, scale)| Scale::new(name, scale, [rows, cols]).unwrap());
        let numbers = Numbers::by_name(tensor.format.as_ref().unwrap_err()).unwrap();
        let (decoding, expected) =
            (Decoding::Numbers { numbers, scale }, floats(&stored, &format!("{name}.expected")));
        for n_rows in [1, 3, rows] {
            for first in (0..rows).step_by(n_rows) {
                let range = first..rows.min(first + n_rows);
                let mut bytes = vec![0; range.len() * cols * 4];
                decoding.read(&tensor.file, tensor.offset, range.clone(), &mut bytes).unwrap();
                let found = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes));
                let expected = &expected[range.start * cols..range.end * cols];
                for (found, &expected) in found.zip(expected) {
                    let same = found == expected || (found.is_nan() && expected.is_nan());
                    assert!(same, "{name}, row {first}: {found}, not {expected}");
                }
            }
        }
    }
}

/// The small checkpoint with one matrix in other numbers, and tensors beside it.
fn with(dtype: Dtype, matrix: &[u8], beside: &[(&str, Dtype, Vec<usize>, &[u8])]) -> TempDir {
    const NAME: &str = "model.layers.0.self_attn.v_proj.weight";
    let folder = hugging_face();
    let paths = SHARDS.map(|name| folder.path().join(name));
    let mut stored = safetensors::read(&[&paths[0], &paths[1]]).unwrap();
    let shape = stored.tensors.remove(NAME).unwrap().shape;
    write_safetensors(&stored, &folder.path().join("model.safetensors"));
    let mut others = vec![(NAME.to_owned(), TensorView::new(dtype, shape, matrix).unwrap())];
    for (end, dtype, shape, bytes) in beside {
        let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap();
        others.push((NAME.replace("weight", end), view));
    }
    ::safetensors::serialize_to_file(others, None, &folder.path().join(SHARDS[0])).unwrap();
    // Without the index and the single file, all files count.
    let model = folder.path().join("model.safetensors");
    fs::rename(model, folder.path().join(SHARDS[1])).unwrap();
    fs::remove_file(folder.path().join("model.safetensors.index.json")).unwrap();
    folder
}

fn v_of(folder: &TempDir) -> Vec<f32> {
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let contents = contents(&checkpoint);
    let (_, _, bytes) = contents.into_iter().find(|it| it.0 == "blk.0.attn_v.weight").unwrap();
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

#[track_caller]
fn refused(folder: &TempDir, expected: &[&str]) {
    let error = Checkpoint::open(folder.path()).map(|_| ()).unwrap_err().to_string();
    for part in expected {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn checkpoints_with_other_numbers_are_read() {
    let n = 16 * 32;
    let doubles: Vec<u8> = (0..n).flat_map(|i| (f64::from(i) / 4.0).to_le_bytes()).collect();
    let expected: Vec<f32> = (0..n).map(|i| i as f32 / 4.0).collect();
    assert_eq!(v_of(&with(Dtype::F64, &doubles, &[])), expected);
    let half = 0.5f32.to_le_bytes();
    let ones = vec![0x38; n as usize];
    let scales = [
        ("weight_scale", Dtype::F32, vec![], &half[..]),
        ("input_scale", Dtype::F32, vec![1], &half),
    ];
    assert_eq!(v_of(&with(Dtype::F8_E4M3, &ones, &[])), vec![1.0; n as usize]);
    assert_eq!(v_of(&with(Dtype::F8_E4M3, &ones, &scales)), vec![0.5; n as usize]);
    let integers = vec![0xFE; n as usize];
    assert_eq!(v_of(&with(Dtype::I8, &integers, &scales)), vec![-1.0; n as usize]);
}

#[test]
fn numbers_that_are_no_weights_are_named() {
    let bytes = vec![1; 16 * 32 * 4];
    let name = "self_attn.v_proj.weight";
    refused(&with(Dtype::I8, &bytes[..16 * 32], &[]), &[name, "is I8", "with scales", "download"]);
    refused(&with(Dtype::I32, &bytes, &[]), &[name, "is I32"]);
    refused(&with(Dtype::F8_E8M0, &bytes[..16 * 32], &[]), &[name, "is F8_E8M0"]);
    let odd = ("weight_scale", Dtype::F32, vec![3], &bytes[..12]);
    refused(&with(Dtype::F8_E4M3, &bytes[..16 * 32], &[odd]), &["v_proj.weight_scale", "[3]"]);
    // A scale of plain weights would be a riddle.
    let scale = ("weight_scale", Dtype::F32, vec![], &bytes[..4]);
    refused(
        &with(Dtype::F32, &bytes, std::slice::from_ref(&scale)),
        &["v_proj.weight_scale", "none of this kind"],
    );
    let zero = ("weight_zero_point", Dtype::I8, vec![16, 1], &bytes[..16]);
    refused(&with(Dtype::I8, &bytes[..16 * 32], &[scale, zero]), &["zero_point"]);
}
