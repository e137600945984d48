//! Safetensors files. The length before the header is written here, as few others fit the file.

use crate::{accepted, scratch};
use gatefold::checkpoint::{StoredTensors, safetensors};

/// Reads the bytes as a header with some weights behind it, and as a file.
pub fn run(bytes: &[u8]) {
    read(bytes);
    let length = (bytes.len() as u64).to_le_bytes();
    read(&[&length[..], bytes, &[0; 64]].concat());
}

fn read(file: &[u8]) {
    let path = scratch::file("fuzz.safetensors", file);
    if let Some(stored) = accepted(safetensors::read(&[&path])) {
        check(&stored, file.len() as u64);
    }
}

/// Every tensor of a known format lies within the file.
pub(super) fn check(stored: &StoredTensors, file_bytes: u64) {
    for tensor in stored.tensors.values() {
        let Ok(format) = tensor.format else { continue };
        let n_weights: usize = tensor.shape.iter().product();
        let n_bytes = format.row_bytes(n_weights).expect("the formats have blocks of one");
        assert!(tensor.offset + n_bytes as u64 <= file_bytes);
    }
}

/// Headers with tensors of several types, with what else may be in one, and a whole file.
pub fn seeds() -> Vec<Vec<u8>> {
    let headers = [
        r#"{"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]}}"#,
        r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[],"data_offsets":[0,2]},"b":{"dtype":"I64","shape":[0,7],"data_offsets":[2,2]}}  "#,
        r#"{"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}}"#,
    ];
    let mut seeds: Vec<Vec<u8>> = headers.map(|header| header.as_bytes().to_vec()).into();
    let header = br#"{"a":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}"#;
    seeds.push([&(header.len() as u64).to_le_bytes()[..], header, b"\0\0"].concat());
    seeds
}
