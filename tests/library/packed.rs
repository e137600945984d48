//! Types of tensors that are read as another format.

use gatefold::checkpoint::Checkpoint;
use gatefold::gguf::Gguf;
use gatefold::{DynFormat, Isa};
use std::collections::HashMap;
use std::path::Path;

fn path() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/packed/packed.gguf"))
}

fn floats(format: &DynFormat, bytes: &[u8]) -> Vec<f32> {
    let mut floats = vec![0.0; bytes.len() / format.block_bytes * format.block_len];
    format.dequantize(Isa::SCALAR, bytes, &mut floats);
    floats
}

fn bits(floats: &[f32]) -> Vec<u32> {
    floats.iter().map(|float| float.to_bits()).collect()
}

#[test]
fn weights_are_those_of_the_gguf_package() {
    let checkpoint = Checkpoint::open(path()).unwrap();
    let tensors: HashMap<_, _> =
        checkpoint.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let read = |name: &str, n_rows: usize| {
        let tensor = tensors[name];
        let part = &tensor.parts[0];
        let mut reader = part.reader();
        let mut bytes = vec![0; part.rows * part.row_bytes()];
        for (i, out) in bytes.chunks_mut(n_rows * part.row_bytes()).enumerate() {
            let first = i * n_rows;
            reader.read(first..part.rows.min(first + n_rows), out).unwrap();
        }
        floats(tensor.format, &bytes)
    };
    let formats = [
        ("Q4_0_4_4", "Q4_0"),
        ("Q4_0_4_8", "Q4_0"),
        ("Q4_0_8_8", "Q4_0"),
        ("TQ1_0", "Q2_K"),
        ("TQ2_0", "Q2_K"),
        ("MXFP4", "Q8_0"),
    ];
    for (name, format) in formats {
        assert_eq!(tensors[name].format.name, format);
        let expected = bits(&read(&format!("{name}.expected"), 16));
        for n_rows in [1, 3, 5, 16] {
            assert!(bits(&read(name, n_rows)) == expected, "{name} by {n_rows} rows");
        }
        let note = format!("tensors of {name} are read as {format}, with the same weights");
        assert!(checkpoint.notes.contains(&note), "{:?}", checkpoint.notes);
    }
    assert!(!checkpoint.metadata.contains("general.file_type"), "of files of another type");
}

#[test]
fn files_say_what_they_have() {
    let gguf = Gguf::open(path()).unwrap();
    for name in ["Q4_0_8_8", "TQ1_0", "MXFP4"] {
        assert_eq!(gguf.tensor(name).unwrap().type_name(), name);
    }
}
