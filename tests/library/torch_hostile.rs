//! PyTorch files that lie or would do harm, made byte by byte: each is refused with one clear line,
//! nothing in them is run, none panics, hangs or takes much memory.

use gatefold::checkpoint::torch;
use proptest::prelude::*;
use std::io::Write;
use std::time::{Duration, Instant};

/// A zip file in the making.
#[derive(Clone, Default)]
struct Zip {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    n_entries: u64,
}

/// What an entry's headers say, where it is not the truth.
#[derive(Default)]
struct Lies {
    flags: u16,
    method: u16,
    n_bytes: Option<u32>,
    local_header: Option<u32>,
    /// Sizes and offset stand in a ZIP64 field instead.
    zip64: bool,
}

impl Zip {
    /// An archive of a pickle, and of storage 0 with 24 bytes.
    fn of_pickle(pickle: &[u8]) -> Zip {
        let mut zip = Zip::default();
        zip.entry("x/data.pkl", pickle, &Lies::default());
        zip.entry("x/data/0", &[0; 24], &Lies::default());
        zip
    }

    fn entry(&mut self, name: &str, contents: &[u8], lies: &Lies) {
        let local_header = self.bytes.len();
        self.bytes.extend(b"PK\x03\x04");
        self.bytes.extend([0; 22]);
        self.bytes.extend((name.len() as u16).to_le_bytes());
        self.bytes.extend(3_u16.to_le_bytes());
        self.bytes.extend(name.as_bytes());
        self.bytes.extend(b"pad");
        self.bytes.extend(contents);

        let n_bytes = lies.n_bytes.unwrap_or(contents.len() as u32);
        let local_header = lies.local_header.unwrap_or(local_header as u32);
        let mut extra = Vec::new();
        if lies.zip64 {
            extra.extend([0x55, 0x55, 1, 0, 9]);
            extra.extend([1, 0, 24, 0]);
            for number in [n_bytes, n_bytes, local_header] {
                extra.extend(u64::from(number).to_le_bytes());
            }
        }
        let number = |number: u32| if lies.zip64 { u32::MAX } else { number }.to_le_bytes();
        self.directory.extend(b"PK\x01\x02\0\0\0\0");
        self.directory.extend([lies.flags, lies.method, 0, 0, 0, 0].map(u16::to_le_bytes).concat());
        self.directory.extend([number(n_bytes), number(n_bytes)].concat());
        self.directory.extend((name.len() as u16).to_le_bytes());
        self.directory.extend((extra.len() as u16).to_le_bytes());
        self.directory.extend([0; 10]);
        self.directory.extend(number(local_header));
        self.directory.extend(name.as_bytes());
        self.directory.extend(extra);
        self.n_entries += 1;
    }

    /// The file, with these numbers in its end record: entries, bytes and start of the directory.
    fn ending(&self, end: [u32; 3]) -> Vec<u8> {
        let mut bytes = [&self.bytes[..], &self.directory, b"PK\x05\x06\0\0\0\0"].concat();
        bytes.extend([end[0] as u16, end[0] as u16].map(u16::to_le_bytes).concat());
        bytes.extend([end[1], end[2]].map(u32::to_le_bytes).concat());
        bytes.extend([0; 2]);
        bytes
    }

    fn finish(&self) -> Vec<u8> {
        self.ending([self.n_entries as u32, self.directory.len() as u32, self.bytes.len() as u32])
    }

    /// The file with a ZIP64 record that has these numbers.
    fn ending_64(&self, end: [u64; 3]) -> Vec<u8> {
        let mut zip = self.clone();
        let record = (zip.bytes.len() + zip.directory.len()) as u64;
        zip.directory.extend(b"PK\x06\x06");
        zip.directory.extend(44_u64.to_le_bytes());
        zip.directory.extend([0; 12]);
        zip.directory.extend([end[0], end[0], end[1], end[2]].map(u64::to_le_bytes).concat());
        zip.directory.extend(b"PK\x06\x07\0\0\0\0");
        zip.directory.extend(record.to_le_bytes());
        zip.directory.extend(1_u32.to_le_bytes());
        zip.ending([u16::MAX.into(), u32::MAX, u32::MAX])
    }
}

fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<usize>)>, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let start = Instant::now();
    let stored = torch::read(&[file.path()]);
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
    let shapes = |stored: gatefold::checkpoint::StoredTensors| {
        stored.tensors.into_iter().map(|(name, tensor)| (name, tensor.shape)).collect()
    };
    stored.map(shapes).map_err(|error| {
        let message = error.to_string();
        assert!(!message.chars().any(char::is_control), "{message:?}");
        message
    })
}

#[track_caller]
fn refused(bytes: &[u8], wanted: &str) {
    let message = read(bytes).unwrap_err();
    assert!(message.contains(wanted), "{message}");
}

#[track_caller]
fn refused_pickle(pickle: &[u8], wanted: &str) {
    refused(&Zip::of_pickle(pickle).finish(), wanted);
}

/// A pickled dictionary of one tensor `w`: a view of float32 storage `key`.
struct Tensor<'a> {
    key: &'a str,
    n_numbers: i64,
    offset: i64,
    shape: &'a [i64],
    strides: &'a [i64],
}

const PLAIN: Tensor<'_> =
    Tensor { key: "0", n_numbers: 6, offset: 0, shape: &[2, 3], strides: &[3, 1] };

fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

fn int(int: i64) -> Vec<u8> {
    [b"\x8a\x08", &int.to_le_bytes()[..]].concat()
}

fn ints(numbers: &[i64]) -> Vec<u8> {
    let numbers: Vec<u8> = numbers.iter().flat_map(|&number| int(number)).collect();
    [b"(", &numbers[..], b"t"].concat()
}

impl Tensor<'_> {
    fn pickle(&self) -> Vec<u8> {
        let mut pickle = b"\x80\x02}".to_vec();
        pickle.extend(text("w"));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(text("storage"));
        pickle.extend(b"ctorch\nFloatStorage\n");
        pickle.extend([text(self.key), text("cpu"), int(self.n_numbers)].concat());
        pickle.extend(b"tQ");
        pickle.extend([int(self.offset), ints(self.shape), ints(self.strides)].concat());
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtRs.");
        pickle
    }

    #[track_caller]
    fn refused(&self, wanted: &str) {
        refused_pickle(&self.pickle(), wanted);
    }
}

#[test]
fn the_plain_file_is_read() {
    let plain = Zip::of_pickle(&PLAIN.pickle());
    assert_eq!(read(&plain.finish()).unwrap(), [("w".to_string(), vec![2, 3])]);
}

#[test]
fn zip64_is_read() {
    let (mut zip, lies) = (Zip::default(), Lies { zip64: true, ..Lies::default() });
    zip.entry("x/data.pkl", &PLAIN.pickle(), &lies);
    zip.entry("x/data/0", &[0; 24], &lies);
    let (n_bytes, start) = (zip.directory.len() as u64, zip.bytes.len() as u64);
    assert_eq!(read(&zip.finish()).unwrap().len(), 1);
    assert_eq!(read(&zip.ending_64([2, n_bytes, start])).unwrap().len(), 1);

    refused(&zip.ending_64([u64::MAX, n_bytes, start]), "entries, and at most 65536");
    refused(&zip.ending_64([2, u64::MAX, start]), "bytes in its directory, and at most");
    refused(&zip.ending_64([2, n_bytes, u64::MAX]), "damaged zip directory");
    refused(&zip.ending_64([2, n_bytes + 1, start]), "damaged zip directory");
    refused(&zip.ending_64([3, n_bytes, start]), "damaged zip directory");
}

#[test]
fn code_is_named_and_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let touched = dir.path().join("touched");
    let command = text(&format!("touch {}", touched.display()));
    let calls: [(&[u8], &str); 7] = [
        (b"\x80\x02cos\nsystem\n", "os.system"),
        (b"\x80\x02cposix\nsystem\n", "posix.system"),
        (b"\x80\x02cbuiltins\neval\n", "builtins.eval"),
        (b"\x80\x02c__builtin__\nexec\n", "__builtin__.exec"),
        (b"\x80\x02ctorch\nload\n", "torch.load"),
        (b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93", "os.system"),
        (
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2.__globals__\n",
            "torch._utils._rebuild_tensor_v2.__globals__",
        ),
    ];
    for (function, name) in calls {
        let pickle = [function, &command, b"\x85R."].concat();
        refused_pickle(&pickle, &format!("asks for {name},"));
        refused_pickle(&pickle, "nothing was run");
    }
    assert!(!touched.exists());
}

#[test]
fn opcodes_outside_of_tensors_are_named() {
    for (opcode, name) in [
        (b'i', "INST"),
        (b'o', "OBJ"),
        (b'\x81', "NEWOBJ"),
        (b'\x82', "EXT1"),
        (b'S', "STRING"),
        (b'2', "DUP"),
        (b'\x96', "BYTEARRAY8"),
        (b'\xff', "0xff"),
    ] {
        refused_pickle(&[0x80, 2, opcode], &format!("the pickle opcode {name} at byte 2"));
    }
    refused_pickle(b"(dp0\n.", "does not begin as a pickle of protocol 2 to 5");
    refused_pickle(b"\x80\x01}.", "does not begin as a pickle of protocol 2 to 5");
    refused(b"\x80\x04\x95\x20\0\0\0\0\0\0\0\x8c\x02os", "bare pickle");
}

#[test]
fn pickles_that_make_no_sense_are_refused() {
    for (program, wanted) in [
        (&b""[..], "ends here without an end mark"),
        (b"\x80\x02", "byte 2: it ends here"),
        (b"\x80\x02.", "takes a value from an empty stack"),
        (b"\x80\x02(.", "takes a value from an empty stack"),
        (b"\x80\x02}(\x86.", "takes values from an empty stack"),
        (b"\x80\x02t", "goes back to a mark"),
        (b"\x80\x02q\0.", "takes a value from an empty stack"),
        (b"\x80\x02h\x05.", "was not remembered"),
        (b"\x80\x02]]s", "takes a value from an empty stack"),
        (b"\x80\x02]s", "takes values from an empty stack"),
        (b"\x80\x02](K\x01K\x01u", "sets a key of what is no dictionary"),
        (b"\x80\x02}(K\x01u", "sets a key without a value"),
        (b"\x80\x02}K\x01a", "appends to what is no list"),
        (b"\x80\x02K\x01)R", "calls what is no function"),
        (b"\x80\x02K\x01}b", "gives attributes"),
        (b"\x80\x02K\x01K\x01\x93", "name of a class is not a text"),
        (b"\x80\x02K\x01Q", "reference to a storage is none"),
        (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R", "calls collections.OrderedDict"),
        (b"\x80\x02ctorch\nFloatStorage\n)R", "calls torch.FloatStorage"),
        (b"\x80\x02X\xff\xff\xff\xffabc", "cut off"),
        (b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc", "cut off"),
        (b"\x80\x02X\x01\0\0\0\xff", "no text"),
        (b"\x80\x02\x8a\x09123456789.", "too large a number"),
        (b"\x80\x02cos", "cut off"),
        (b"\x80\x02N.", "holds something else than tensors"),
        (b"\x80\x02}.", "holds a dictionary without tensors"),
    ] {
        refused_pickle(program, wanted);
    }
}

#[test]
fn huge_numbers_in_a_pickle_take_no_memory() {
    refused_pickle(b"\x80\x02}r\xff\xff\xff\xffj\xff\xff\xff\xff.", "without tensors");
    let nested = |open: &[u8], close: &[u8], n| {
        [b"\x80\x02]", &open.repeat(n)[..], &close.repeat(n), b"."].concat()
    };
    // Lists in lists, tuples in tuples, and dictionaries that hold themselves.
    refused_pickle(&nested(b"]", b"a", 100_000), "holds a list");
    refused_pickle(&nested(b"(", b"t", 100_000), "holds a list");
    refused_pickle(&nested(b"]", b"", 3_000_000), "values in data.pkl, and at most 262144");
    refused_pickle(b"\x80\x02}q\0X\x05\0\0\0modelh\0s.", "without tensors");
    // Each tuple holds the last one twice: 2^1000 leaves.
    let doubling = [b"\x80\x02)", &b"q\0h\0\x86".repeat(1_000)[..], b"."].concat();
    refused_pickle(&doubling, "holds a list");
    refused_pickle(&[b"\x80\x02", &[b'N'; 1 << 24][..]].concat(), "bytes in its data.pkl");
    for (opcode, what) in [(b'(', "marks"), (b'\x94', "values that data.pkl remembers")] {
        let many = [b"\x80\x04N", &[opcode; 1 << 19][..], b"."].concat();
        refused_pickle(&many, what);
    }
}

#[test]
fn tensors_that_do_not_fit_are_refused() {
    let (half, max) = (i64::MAX / 2 + 1, i64::MAX);
    Tensor { key: "1", ..PLAIN }.refused("its tensor w is in storage 1, which the file lacks");
    Tensor { key: "../data.pkl", ..PLAIN }.refused("storage ../data.pkl, which the file lacks");
    Tensor { key: "\n\x1b[2J", ..PLAIN }.refused("which the file lacks");
    Tensor { n_numbers: 7, ..PLAIN }.refused("should have 7 float32 numbers and has 24 bytes");
    Tensor { n_numbers: -1, ..PLAIN }.refused("should have -1 float32 numbers");
    Tensor { n_numbers: half, ..PLAIN }.refused("float32 numbers and has 24 bytes");
    Tensor { n_numbers: 5, ..PLAIN }.refused("takes 6 numbers from number 0 on");
    Tensor { offset: 1, ..PLAIN }.refused("takes 6 numbers from number 1 on");
    Tensor { offset: -1, ..PLAIN }.refused("takes 6 numbers from number -1 on");
    Tensor { offset: max, ..PLAIN }.refused("takes 6 numbers");
    Tensor { shape: &[-2, -3], ..PLAIN }.refused("impossible shape [-2, -3]");
    Tensor { shape: &[half, 4], strides: &[4, 1], ..PLAIN }.refused("impossible shape");
    Tensor { shape: &[3, 2], strides: &[1, 3], ..PLAIN }.refused("strides [1, 3]");
    Tensor { strides: &[0, 0], ..PLAIN }.refused("strides [0, 0]");
    Tensor { strides: &[1], ..PLAIN }.refused("strides [1] for the shape [2, 3]");
    Tensor { shape: &[0, max, max], strides: &[1, 1, 1], offset: 7, ..PLAIN }.refused("7");
    Tensor { shape: &[1; 9], strides: &[1; 9], ..PLAIN }.refused("_rebuild_tensor_v2");
}

#[test]
fn archives_that_lie_are_refused() {
    let pickle = PLAIN.pickle();
    let with = |lies: &Lies| {
        let mut zip = Zip::default();
        zip.entry("x/data.pkl", &pickle, &Lies::default());
        zip.entry("x/data/0", &[0; 24], lies);
        zip.finish()
    };
    refused(&with(&Lies { method: 8, ..Lies::default() }), "x/data/0 is compressed");
    refused(&with(&Lies { flags: 1, ..Lies::default() }), "x/data/0 is encrypted");
    refused(&with(&Lies { n_bytes: Some(25), ..Lies::default() }), "not within the file");
    refused(&with(&Lies { n_bytes: Some(u32::MAX), ..Lies::default() }), "damaged zip directory");
    refused(&with(&Lies { n_bytes: Some(23), ..Lies::default() }), "has 23 bytes");
    refused(&with(&Lies { local_header: Some(0), ..Lies::default() }), "overlaps");
    refused(
        &with(&Lies { local_header: Some(4), ..Lies::default() }),
        "not where the directory says",
    );
    refused(&with(&Lies { local_header: Some(9_999), ..Lies::default() }), "not within the file");

    let zip = Zip::of_pickle(&pickle);
    let (n_bytes, start) = (zip.directory.len() as u32, zip.bytes.len() as u32);
    refused(&zip.ending([3, n_bytes, start]), "damaged zip directory");
    refused(&zip.ending([2, n_bytes + 1, start]), "damaged zip directory");
    refused(&zip.ending([2, n_bytes, u32::MAX]), "damaged zip directory");
    refused(&zip.ending([2, n_bytes, start - 1]), "damaged zip directory");
    refused(&zip.ending([0, 0, 0]), "no data.pkl");

    let with = |name: &str, contents: &[u8]| {
        let mut zip = zip.clone();
        zip.entry(name, contents, &Lies::default());
        zip.finish()
    };
    refused(&with("x/data/0", b""), "x/data/0 is in it twice");
    refused(&with("y/data.pkl", b""), "more than one data.pkl");
    refused(&with("x/constants.pkl", b""), "TorchScript");
    refused(&with("x/code/__torch__.py", b""), "TorchScript");
    refused(&with("x/byteorder", b"big"), "byte order \"big\"");
    refused(&with("x/byteorder", &[b'l'; 65]), "at most 64");
    assert_eq!(read(&with("x/byteorder", b"little")).unwrap().len(), 1);
}

#[test]
fn every_prefix_of_a_file_is_refused() {
    let bytes = Zip::of_pickle(&PLAIN.pickle()).finish();
    for n in 0..bytes.len() {
        let message = read(&bytes[..n]).unwrap_err();
        let wanted = if n < 4 { "is not a PyTorch zip file" } else { "cut short" };
        assert!(message.contains(wanted), "{n}: {message}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_do_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        zip64 in any::<bool>(),
    ) {
        let mut zip = Zip::default();
        let lies = Lies { zip64, ..Lies::default() };
        zip.entry("x/data.pkl", &PLAIN.pickle(), &lies);
        zip.entry("x/data/0", &[0; 24], &lies);
        let (n_bytes, start) = (zip.directory.len() as u64, zip.bytes.len() as u64);
        let mut bytes = if zip64 { zip.ending_64([2, n_bytes, start]) } else { zip.finish() };
        for (index, value) in changes {
            *index.get_mut(&mut bytes) = value;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn random_programs_do_no_harm(
        program in prop::collection::vec(
            prop_oneof![
                prop::sample::select(&b"(.NK\x88X\x8c}])\x85\x86tasuRQbqh\x94\x93"[..]),
                0_u8..4,
                any::<u8>(),
            ],
            0..60,
        ),
    ) {
        let _ = read(&Zip::of_pickle(&[b"\x80\x02", &program[..]].concat()).finish());
    }
}
