//! Models in several files: whichever part is named, all are found, and all must agree.

use gatefold::DynFormat;
use gatefold::gguf::{Bytes, Gguf, Metadata, TensorPlan, Value, Writer};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A part of a model: its keys, and one tensor of four weights per name.
struct Part {
    idx: u16,
    count: u16,
    n_tensors: i32,
    architecture: Option<&'static str>,
    tensors: Vec<&'static str>,
}

impl Part {
    /// The writer makes whole files and leaves `split.*` out, so the keys get their names after.
    fn bytes(&self) -> Vec<u8> {
        let mut metadata = Metadata::new();
        if let Some(architecture) = self.architecture {
            metadata.set("general.architecture", Value::String(architecture.into()));
        }
        metadata.set("parts.no", Value::U16(self.idx));
        metadata.set("parts.count", Value::U16(self.count));
        metadata.set("parts.tensors.count", Value::I32(self.n_tensors));
        let format = DynFormat::by_name("F32").unwrap();
        let plan = |name: &&str| TensorPlan { name: name.to_string(), format, shape: vec![4] };
        let plan = self.tensors.iter().map(plan).collect();
        let mut writer = Writer::new(Vec::new(), &metadata, plan).unwrap();
        for name in &self.tensors {
            writer.tensor(&[name.as_bytes()[0]; 16]).unwrap();
        }
        let mut bytes = writer.finish().unwrap();
        for at in 0..bytes.len() - 6 {
            if &bytes[at..at + 6] == b"parts." {
                bytes[at..at + 6].copy_from_slice(b"split.");
            }
        }
        bytes
    }
}

/// A model in three parts; only the first has the architecture and it has no tensors, as the
/// usual tools make them.
fn model() -> Vec<Part> {
    let part =
        |idx, architecture, tensors| Part { idx, count: 3, n_tensors: 3, architecture, tensors };
    vec![part(0, Some("llama"), vec![]), part(1, None, vec!["a", "b"]), part(2, None, vec!["c"])]
}

fn path(folder: &TempDir, idx: usize, count: usize) -> PathBuf {
    folder.path().join(format!("model-{:05}-of-{count:05}.gguf", idx + 1))
}

fn write(parts: &[Part]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (idx, part) in parts.iter().enumerate() {
        fs::write(path(&folder, idx, parts.len()), part.bytes()).unwrap();
    }
    folder
}

#[track_caller]
fn refused(path: &Path, words: &[&str]) {
    let message = Gguf::open(path).unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert!(!message.contains('\n'), "{message:?}");
}

#[test]
fn any_part_opens_the_whole() {
    let folder = write(&model());
    for idx in 0..3 {
        let gguf = Gguf::open(&path(&folder, idx, 3)).unwrap();
        assert_eq!(gguf.path(), path(&folder, 0, 3));
        assert_eq!(gguf.parts().len(), 3);
        assert_eq!(gguf.metadata().str("general.architecture").unwrap(), Some("llama"));
        let names: Vec<_> = gguf.tensors().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(gguf.tensor("c").unwrap().bytes[..], [b'c'; 16]);
    }
}

#[test]
fn a_missing_part_is_named() {
    let folder = write(&model());
    fs::remove_file(path(&folder, 1, 3)).unwrap();
    refused(&path(&folder, 2, 3), &["is part 3 of 3", "model-00002-of-00003.gguf is missing"]);
}

#[test]
fn a_renamed_part_is_refused() {
    let folder = write(&model());
    let renamed = folder.path().join("model.gguf");
    fs::rename(path(&folder, 1, 3), &renamed).unwrap();
    refused(
        &renamed,
        &["is part 2 of 3", "must be UTF-8 and end in -00002-of-00003.gguf", "rename"],
    );
}

/// Elsewhere file systems refuse such names themselves.
#[cfg(target_os = "linux")]
#[test]
fn the_folder_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt;
    let above = write(&model());
    let folder = above.path().join(std::ffi::OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&folder).unwrap();
    for idx in 0..3 {
        let part = path(&above, idx, 3);
        fs::rename(&part, folder.join(part.file_name().unwrap())).unwrap();
    }
    let part = folder.join("model-00002-of-00003.gguf");
    assert_eq!(Gguf::open(&part).unwrap().parts().len(), 3);
}

#[test]
fn swapped_parts_are_refused() {
    let folder = write(&model());
    fs::copy(path(&folder, 1, 3), path(&folder, 2, 3)).unwrap();
    refused(&path(&folder, 0, 3), &["model-00003-of-00003.gguf", "says it is part 2 of 3"]);
}

#[test]
fn counts_must_agree() {
    let mut parts = model();
    parts[2].count = 4;
    refused(&path(&write(&parts), 0, 3), &["model-00003", "says it is part 3 of 4"]);
    let mut parts = model();
    parts[2].n_tensors = 9;
    refused(&path(&write(&parts), 0, 3), &["with 9 tensors in all"]);
    let mut parts = model();
    parts.iter_mut().for_each(|part| part.n_tensors = 4);
    refused(&path(&write(&parts), 0, 3), &["together have 3 tensors, not the 4"]);
    let mut parts = model();
    parts[0].idx = 3;
    refused(&path(&write(&parts), 0, 3), &["part 3, counted from 0, of 3"]);
}

#[test]
fn architectures_and_tensors_must_agree() {
    let mut parts = model();
    parts[1].architecture = Some("gemma");
    refused(&path(&write(&parts), 0, 3), &["model-00002", "\"gemma\"", "\"llama\""]);
    let mut parts = model();
    parts[2].tensors = vec!["b"];
    refused(&path(&write(&parts), 0, 3), &["model-00003", "two tensors b"]);
}

#[test]
fn one_part_of_one_is_whole() {
    let mut parts = model();
    parts[1].count = 1;
    let bytes = parts[1].bytes();
    let gguf = Gguf::from_bytes("memory", Bytes::from(bytes)).unwrap();
    assert_eq!(gguf.tensors().count(), 2);
}

#[test]
fn a_part_in_memory_is_refused() {
    let bytes = model()[1].bytes();
    let message = Gguf::from_bytes("memory", Bytes::from(bytes)).unwrap_err().to_string();
    assert!(message.contains("memory: is one part of a split model"), "{message}");
}
