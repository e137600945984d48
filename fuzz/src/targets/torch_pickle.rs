//! The pickle of a PyTorch file, in a container without faults.

use super::torch_file;

/// Bytes of the one storage, `0`.
const STORAGE_BYTES: usize = 64;

/// Reads a file with the bytes as its pickle.
pub fn run(bytes: &[u8]) {
    torch_file::run(&file(bytes));
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

/// The pickles of files that PyTorch wrote.
pub fn seeds() -> Vec<Vec<u8>> {
    let files: [&[u8]; 9] = [
        include_bytes!("../../../tests/fixtures/torch/list.pth"),
        include_bytes!("../../../tests/fixtures/torch/module.pth"),
        include_bytes!("../../../tests/fixtures/torch/protocol2.pth"),
        include_bytes!("../../../tests/fixtures/torch/protocol4.pth"),
        include_bytes!("../../../tests/fixtures/torch/protocol5.pth"),
        include_bytes!("../../../tests/fixtures/torch/transposed.pth"),
        include_bytes!("../../../tests/fixtures/torch/types.pth"),
        include_bytes!("../../../tests/fixtures/torch/script.pt"),
        include_bytes!("../../../tests/fixtures/torch/wrapped.pt"),
    ];
    files.into_iter().map(|file| pickle_in(file).expect("it has a pickle").to_vec()).collect()
}

/// From the protocol's opcode to the next entry.
fn pickle_in(file: &[u8]) -> Option<&[u8]> {
    let find = |bytes: &[u8], wanted: &[u8]| {
        bytes.windows(wanted.len()).position(|window| window == wanted)
    };
    let entry = &file[find(file, b"/data.pkl")?..];
    let pickle = &entry[entry.iter().position(|&byte| byte == 0x80)?..];
    Some(&pickle[..find(pickle, b"PK")?])
}
