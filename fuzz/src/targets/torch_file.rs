//! PyTorch's zip files: the container and what is in it.

use super::safetensors::check;
use crate::{accepted, scratch};
use gatefold::checkpoint::torch;

/// Bytes of the one storage, `0`.
const STORAGE_BYTES: usize = 64;

/// Reads the bytes as a file.
pub fn run(bytes: &[u8]) {
    let path = scratch::file("fuzz.pth", bytes);
    if let Some(stored) = accepted(torch::read(&[&path])) {
        check(&stored, bytes.len() as u64);
    }
}

/// A file of a pickle and a storage.
pub(super) fn file(pickle: &[u8]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    let entries = [("x/data.pkl", pickle), ("x/data/0", &[0; STORAGE_BYTES])];
    for (name, contents) in entries {
        let start = (file.len() as u32).to_le_bytes();
        let n_bytes = (contents.len() as u32).to_le_bytes();
        let name_bytes = (name.len() as u16).to_le_bytes();
        // Version, flags, method, time, date, checksum, sizes, lengths of the name and of the rest.
        let common = [&[0; 14][..], &n_bytes, &n_bytes, &name_bytes, &[0; 2]].concat();
        file.extend([b"PK\x03\x04", &common[..], name.as_bytes(), contents].concat());
        let rest = [&[0; 10][..], &start, name.as_bytes()].concat();
        directory.extend([b"PK\x01\x02\0\0", &common[..], &rest].concat());
    }
    let (start, n_bytes) = (file.len() as u32, directory.len() as u32);
    let n_entries = (entries.len() as u16).to_le_bytes();
    file.extend(directory);
    file.extend([b"PK\x05\x06\0\0\0\0", &n_entries[..], &n_entries].concat());
    file.extend([&n_bytes.to_le_bytes()[..], &start.to_le_bytes(), &[0; 2]].concat());
    file
}

/// Files that PyTorch wrote, and one with the least that makes a file.
pub fn seeds() -> Vec<Vec<u8>> {
    let fixtures: [&[u8]; 6] = [
        include_bytes!("../../../tests/fixtures/torch/legacy.pth"),
        include_bytes!("../../../tests/fixtures/torch/list.pth"),
        include_bytes!("../../../tests/fixtures/torch/protocol2.pth"),
        include_bytes!("../../../tests/fixtures/torch/protocol4.pth"),
        include_bytes!("../../../tests/fixtures/torch/script.pt"),
        include_bytes!("../../../tests/fixtures/torch/transposed.pth"),
    ];
    let mut seeds: Vec<Vec<u8>> = fixtures.map(<[u8]>::to_vec).into();
    seeds.push(file(b"\x80\x02}."));
    seeds
}
