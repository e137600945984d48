//! The pickle of a PyTorch file, in a container without faults.

use super::torch_file;

/// Reads a file with the bytes as its pickle.
pub fn run(bytes: &[u8]) {
    torch_file::run(&torch_file::file(bytes));
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
