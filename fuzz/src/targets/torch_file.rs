//! PyTorch's zip files: the container and what is in it.

use super::safetensors::check;
use crate::{accepted, scratch};
use gatefold::checkpoint::torch;

/// Reads the bytes as a file.
pub fn run(bytes: &[u8]) {
    let path = scratch::file("fuzz.pth", bytes);
    if let Some(stored) = accepted(torch::read(&[&path])) {
        check(&stored, bytes.len() as u64);
    }
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
    seeds.push(super::torch_pickle::file(b"\x80\x02}."));
    seeds
}
