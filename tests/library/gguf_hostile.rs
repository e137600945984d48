//! Files that lie, made byte by byte: each is refused with one clear line, none panics or hangs.

use gatefold::gguf::{Bytes, Gguf};
use proptest::prelude::*;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The bytes of a GGUF in the making, independent of the crate's own writer.
#[derive(Clone, Default)]
struct Builder {
    bytes: Vec<u8>,
    /// Where counts, lengths, dimensions and offsets stand, eight bytes each.
    sizes: Vec<usize>,
    /// Where types and numbers of dimensions stand, four bytes each.
    types: Vec<usize>,
}

impl Builder {
    fn file(version: u32, n_tensors: u64, n_keys: u64) -> Builder {
        let mut builder = Builder { bytes: b"GGUF".to_vec(), ..Builder::default() };
        builder.raw(&version.to_le_bytes());
        builder.size(n_tensors).size(n_keys);
        builder
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Builder {
        self.bytes.extend(bytes);
        self
    }

    fn size(&mut self, size: u64) -> &mut Builder {
        self.sizes.push(self.bytes.len());
        self.raw(&size.to_le_bytes())
    }

    fn kind(&mut self, kind: u32) -> &mut Builder {
        self.types.push(self.bytes.len());
        self.raw(&kind.to_le_bytes())
    }

    fn text(&mut self, text: &[u8]) -> &mut Builder {
        self.size(text.len() as u64).raw(text)
    }

    /// A key with a scalar value.
    fn key(&mut self, key: &str, kind: u32, value: &[u8]) -> &mut Builder {
        self.text(key.as_bytes()).kind(kind).raw(value)
    }

    /// A key with an array, of which the elements' bytes are given.
    fn array(&mut self, key: &str, kind: u32, n: u64, elements: &[u8]) -> &mut Builder {
        self.text(key.as_bytes()).kind(9).kind(kind).size(n).raw(elements)
    }

    fn tensor(&mut self, name: &str, shape: &[u64], kind: u32, offset: u64) -> &mut Builder {
        self.text(name.as_bytes()).kind(shape.len() as u32);
        shape.iter().for_each(|&size| {
            self.size(size);
        });
        self.kind(kind).size(offset)
    }

    fn data(&mut self, n_bytes: usize) -> &mut Builder {
        self.bytes.resize(self.bytes.len().next_multiple_of(32) + n_bytes, 0);
        self
    }
}

const F32: u32 = 0;
const Q4_0: u32 = 2;
const U32_VALUE: u32 = 4;
const STRING_VALUE: u32 = 8;

/// A small file with something of everything; its last byte is its last tensor's.
fn valid() -> Builder {
    let mut file = Builder::file(3, 3, 5);
    file.key("general.architecture", STRING_VALUE, &[]).text(b"llama");
    file.key("general.alignment", U32_VALUE, &32u32.to_le_bytes());
    file.array("tokens", STRING_VALUE, 2, &[]).text(b"<s>").text("▁ä".as_bytes());
    file.array("scores", 6, 2, &[0; 8]);
    file.key("add_bos", 7, &[1]);
    file.tensor("a.weight", &[8, 2], F32, 0);
    file.tensor("b.weight", &[32], Q4_0, 64);
    file.tensor("c.weight", &[1, 2, 3, 1], F32, 96).data(96 + 24);
    file
}

/// A file of one tensor, `w`, with `n_bytes` of data.
fn one_tensor(shape: &[u64], kind: u32, offset: u64, n_bytes: usize) -> Vec<u8> {
    Builder::file(3, 1, 0).tensor("w", shape, kind, offset).data(n_bytes).bytes.clone()
}

/// A file of one key.
fn one_key(kind: u32, value: &[u8]) -> Vec<u8> {
    Builder::file(3, 0, 1).key("k", kind, value).bytes.clone()
}

fn open(bytes: Vec<u8>) -> Result<Gguf, String> {
    let start = Instant::now();
    let result = Gguf::from_bytes("evil.gguf", Bytes::from(bytes));
    assert!(start.elapsed() < Duration::from_secs(2), "took {:?}", start.elapsed());
    result.map_err(|error| {
        let message = error.to_string();
        assert!(message.starts_with("evil.gguf: ") && !message.contains('\n'), "{message:?}");
        message
    })
}

#[track_caller]
fn refused(bytes: Vec<u8>, words: &[&str]) {
    let message = open(bytes).expect_err("must be refused");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[test]
fn the_valid_file_is_read() {
    for version in [2, 3] {
        let mut bytes = valid().bytes;
        bytes[4] = version;
        let gguf = open(bytes).unwrap();
        let names: Vec<_> = gguf.tensors().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["a.weight", "b.weight", "c.weight"]);
        assert_eq!(gguf.tensor("a.weight").unwrap().shape, [2, 8]);
        assert_eq!(gguf.tensor("b.weight").unwrap().bytes.len(), 18);
        assert_eq!(gguf.tensor("c.weight").unwrap().shape, [1, 3, 2, 1]);
        let tokens = gguf.metadata().strings("tokens").unwrap().unwrap();
        assert_eq!(tokens, ["<s>", "▁ä"]);
        assert_eq!(gguf.metadata().f32s("scores").unwrap(), Some(vec![0.0, 0.0]));
        assert_eq!(gguf.metadata().bool("add_bos").unwrap(), Some(true));
    }
}

#[test]
fn every_prefix_is_refused() {
    let bytes = valid().bytes;
    for len in 0..bytes.len() {
        assert!(open(bytes[..len].to_vec()).is_err(), "the first {len} of {} bytes", bytes.len());
    }
}

#[test]
fn every_size_may_lie() {
    let file = valid();
    for &at in &file.sizes {
        for lie in [u64::MAX, u64::MAX - 7, 1 << 63, (1 << 63) - 32, 1 << 61, 1 << 32, 1 << 31] {
            let mut bytes = file.bytes.clone();
            bytes[at..at + 8].copy_from_slice(&lie.to_le_bytes());
            assert!(open(bytes).is_err(), "{lie:#x} at byte {at}");
        }
    }
}

#[test]
fn every_type_may_lie() {
    let file = valid();
    for &at in &file.types {
        for lie in [13u32, 40, 99, 1 << 31, u32::MAX] {
            let mut bytes = file.bytes.clone();
            bytes[at..at + 4].copy_from_slice(&lie.to_le_bytes());
            assert!(open(bytes).is_err(), "{lie} at byte {at}");
        }
    }
}

proptest! {
    #[test]
    fn flipped_bytes_never_panic(flips in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..8)) {
        let mut bytes = valid().bytes;
        for (at, value) in flips {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        let _ = open(bytes);
    }

    #[test]
    fn random_headers_never_panic(tail in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = Builder::file(3, 2, 2).bytes;
        bytes.extend(tail);
        let _ = open(bytes);
    }
}

#[test]
fn other_kinds_of_files() {
    refused(vec![], &["empty"]);
    refused(b"GG".to_vec(), &["does not begin with the letters GGUF"]);
    refused(b"PK\x03\x04 and so on".to_vec(), &["not a GGUF file"]);
    refused(b"tjgg\x03\0\0\0".to_vec(), &["older than GGUF"]);
    refused(b"<!doctype html>".to_vec(), &["web page"]);
    refused(b"version https://git-lfs.github.com/spec/v1\n".to_vec(), &["git lfs pull"]);
    refused(b"FUGG\0\0\0\x03".to_vec(), &["big-endian", "convert"]);
    refused(b"GGUF\0\0\0\x03\0\0\0\0".to_vec(), &["big-endian", "convert"]);
    refused(Builder::file(1, 0, 0).bytes, &["version 1", "versions 2 and 3"]);
    refused(Builder::file(4, 0, 0).bytes, &["version 4", "versions 2 and 3"]);
    refused(Builder::file(0, 0, 0).bytes, &["version 0"]);
}

#[test]
fn things_that_are_not_files() {
    let folder = tempfile::tempdir().unwrap();
    let message = Gguf::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("a folder"), "{message}");
    let message = Gguf::open(&folder.path().join("none.gguf")).unwrap_err().to_string();
    assert!(message.contains("none.gguf: cannot be read"), "{message}");
    let empty = folder.path().join("empty.gguf");
    fs::write(&empty, b"").unwrap();
    let message = Gguf::open(&empty).unwrap_err().to_string();
    assert!(message.contains("empty.gguf: is not a GGUF file: it is empty"), "{message}");
    if Path::new("/dev/zero").exists() {
        let message = Gguf::open(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(message.contains("a device"), "{message}");
    }
}

/// The file has a hole for its data, which nothing may look at.
#[test]
fn a_large_file_opens_at_once() {
    const N_WEIGHTS: u64 = 26_000_000_000 / 4;
    let file =
        Builder::file(3, 1, 0).tensor("w", &[N_WEIGHTS / 1000, 1000], F32, 0).data(0).clone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large.gguf");
    fs::write(&path, &file.bytes).unwrap();
    let large = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let n_bytes = file.bytes.len() as u64 + 4 * N_WEIGHTS;
    large.set_len(n_bytes).unwrap();
    let start = Instant::now();
    let gguf = Gguf::open(&path).unwrap();
    assert_eq!(gguf.tensor("w").unwrap().bytes.len() as u64, 4 * N_WEIGHTS);
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    large.set_len(n_bytes - 1).unwrap();
    let message = Gguf::open(&path).unwrap_err().to_string();
    assert!(message.contains("tensor w needs 26000000000 bytes"), "{message}");
}

#[test]
fn shapes_that_cannot_be() {
    refused(one_tensor(&[], F32, 0, 4), &["w has the shape []"]);
    refused(one_tensor(&[8, 0], F32, 0, 32), &["w has the shape [0, 8]"]);
    refused(one_tensor(&[1, 1, 1, 1, 1], F32, 0, 4), &["5 dimensions of tensor w", "4"]);
    refused(one_tensor(&[1 << 32, 1 << 32], F32, 0, 32), &["w has the shape"]);
    refused(one_tensor(&[1 << 31, 1 << 31, 1 << 2], F32, 0, 32), &["w has the shape"]);
    refused(one_tensor(&[u64::MAX, u64::MAX, u64::MAX, u64::MAX], F32, 0, 32), &["the shape"]);
    refused(one_tensor(&[48], Q4_0, 0, 36), &["[48]", "Q4_0", "multiple of 32"]);
    refused(one_tensor(&[128, 2], 12, 0, 144), &["[2, 128]", "Q4_K", "multiple of 256"]);
    refused(one_tensor(&[128, 2], 21, 0, 110), &["[2, 128]", "IQ3_S", "multiple of 256"]);
    refused(one_tensor(&[32, 6], 31, 0, 108), &["[6, 32]", "rows of Q4_0_4_4 come by 4"]);
    refused(one_tensor(&[32, 4], 33, 0, 72), &["[4, 32]", "rows of Q4_0_8_8 come by 8"]);
}

#[test]
fn formats_that_do_not_run_are_named() {
    refused(one_tensor(&[64], 40, 0, 36), &["tensor w is NVFP4", "it runs F32, F16, BF16, Q4_0"]);
    refused(one_tensor(&[1], 28, 0, 8), &["F64"]);
    refused(one_tensor(&[32], 36, 0, 18), &["IQ4_NL_4_4"]);
    refused(one_tensor(&[32], 4, 0, 36), &["unknown type 4"]);
    refused(one_tensor(&[32], 99, 0, 36), &["unknown type 99"]);
    refused(one_tensor(&[32], u32::MAX, 0, 36), &["unknown type 4294967295"]);
}

#[test]
fn tensors_outside_the_file() {
    assert!(open(one_tensor(&[8], F32, 32, 64)).is_ok());
    refused(one_tensor(&[8], F32, 64, 64), &["tensor w needs 32 bytes", "download it again"]);
    refused(one_tensor(&[8], F32, 1 << 40, 64), &["tensor w needs 32 bytes"]);
    refused(one_tensor(&[8], F32, u64::MAX - 31, 64), &["tensor w needs 32 bytes"]);
    refused(one_tensor(&[1 << 40], F32, 0, 64), &["tensor w needs 4398046511104 bytes"]);
    refused(one_tensor(&[8], F32, 4, 64), &["tensor w begins at offset 4", "alignment 32"]);
}

#[test]
fn tensors_may_not_overlap() {
    let pair = |second: u64| {
        let mut file = Builder::file(3, 2, 0);
        file.tensor("first", &[16], F32, 32).tensor("second", &[16], F32, second).data(160);
        file.bytes
    };
    assert!(open(pair(96)).is_ok());
    refused(pair(64), &["first and second overlap"]);
    refused(pair(32), &["first and second overlap"]);
    refused(pair(0), &["second and first overlap"]);
}

#[test]
fn alignments_that_cannot_be() {
    let aligned = |kind: u32, value: &[u8]| {
        let mut file = Builder::file(3, 1, 1);
        file.key("general.alignment", kind, value).tensor("w", &[8], F32, 0).data(4096);
        file.bytes
    };
    for alignment in [8u32, 16, 64, 1024] {
        assert!(open(aligned(U32_VALUE, &alignment.to_le_bytes())).is_ok(), "{alignment}");
    }
    for alignment in [0u64, 1, 3, 24, 1 << 17, 1 << 40, 1 << 63, u64::MAX] {
        let words = [&*alignment.to_string(), "general.alignment", "power of two"];
        refused(aligned(10, &alignment.to_le_bytes()), &words);
    }
    refused(aligned(6, &32f32.to_le_bytes()), &["general.alignment", "power of two"]);
    refused(aligned(9, &[0; 12]), &["general.alignment", "power of two"]);
}

#[test]
fn names_are_unique_and_printable() {
    let keys = |first: &str, second: &str| {
        Builder::file(3, 0, 2).key(first, 0, &[1]).key(second, 0, &[2]).bytes.clone()
    };
    assert!(open(keys("k", "l")).is_ok());
    refused(keys("k", "k"), &["two keys k"]);
    refused(keys("k\nl", "k"), &["name of key 0"]);
    refused(keys("k", ""), &["name of key 1"]);
    refused(keys(&"k".repeat(65536), "l"), &["65536 bytes in the name of key 0", "65535"]);
    assert!(open(keys(&"k".repeat(65535), "l")).is_ok());

    let tensors = |first: &str, second: &str| {
        let mut file = Builder::file(3, 2, 0);
        file.tensor(first, &[8], F32, 0).tensor(second, &[8], F32, 32).data(64);
        file.bytes
    };
    assert!(open(tensors(&"t".repeat(64), "t")).is_ok());
    refused(tensors("t", "t"), &["two tensors t"]);
    refused(tensors("t", "\x1b[2J"), &["name of tensor 1"]);
    refused(tensors(&"t".repeat(65), "t"), &["65 bytes in the name of tensor 0", "64"]);

    let mut file = Builder::file(3, 0, 1);
    file.text(b"\xff\xfe").kind(0).raw(&[1]);
    refused(file.bytes, &["name of key 0", "UTF-8"]);
    let mut file = Builder::file(3, 1, 0);
    file.text(b"w\xc0\x80").kind(1).size(8).kind(F32).size(0).data(32);
    refused(file.bytes, &["name of tensor 0", "UTF-8"]);
}

#[test]
fn errors_are_one_line_whatever_the_file_is_called() {
    let error = Gguf::from_bytes("evil\n\x1b[2J.gguf", Bytes::from(vec![])).unwrap_err();
    assert_eq!(error.to_string(), r"evil\n\u{1b}[2J.gguf: is not a GGUF file: it is empty");
}

#[test]
fn values_that_cannot_be() {
    let mut file = Builder::file(3, 0, 1);
    file.key("k", STRING_VALUE, &[]).text(b"\xed\xa0\x80");
    refused(file.bytes, &["value of key k", "UTF-8"]);
    let mut file = Builder::file(3, 0, 1);
    file.array("k", 9, 1, &[]).kind(0).size(1).raw(&[7]);
    refused(file.bytes, &["key k has an array of arrays"]);
    let mut file = Builder::file(3, 0, 1);
    file.array("k", 77, 1, &[0; 8]);
    refused(file.bytes, &["key k has an array of values of type 77"]);
    refused(one_key(13, &[0; 8]), &["key k has a value of type 13"]);
    refused(one_key(7, &[2]), &["key k", "truth value 2"]);
}

#[test]
fn an_array_of_bytes_cannot_fill_the_memory() {
    let n = (1 << 22) + 1;
    let mut file = Builder::file(3, 0, 1);
    file.array("k", 0, n, &vec![0; n as usize]);
    refused(file.bytes, &["4194305 array elements in the value of key k"]);
    let n = 1 << 21;
    let mut file = Builder::file(3, 0, 3);
    for key in ["k", "l", "m"] {
        file.array(key, 0, n, &vec![0; n as usize]);
    }
    refused(file.bytes, &["array elements in the value of key m"]);
}

#[test]
fn a_header_has_an_end() {
    let mut file = Builder::file(3, 0, 1);
    file.key("k", STRING_VALUE, &[]).size(1 << 27);
    file.bytes.resize((1 << 27) + 100, b' ');
    refused(file.bytes, &["bytes of header"]);
}
