//! Importance matrices, of any kind that is told by how a file begins.

use crate::accepted;
use gatefold::imatrix::{Imatrix, save};
use std::path::Path;

/// Reads the bytes; what they say is merged with itself, written and asked for.
pub fn run(bytes: &[u8]) {
    let read = |bytes: Vec<u8>| accepted(Imatrix::from_bytes(Path::new("fuzz.gguf"), bytes));
    let Some(imatrix) = read(bytes.to_vec()) else { return };
    let mut twice = imatrix.clone();
    accepted(twice.merge(&imatrix));
    for (name, entry) in imatrix.entries() {
        for n_matrices in [1, entry.counts.len(), 8] {
            accepted(imatrix.importance(name, n_matrices, entry.units.len() / n_matrices));
        }
    }
    let (mut legacy, mut kept) = (Vec::new(), Vec::new());
    imatrix.write_legacy(&mut legacy).expect("memory takes all");
    save(&imatrix, "key", &mut kept).expect("memory takes all");
    assert!(read(kept).is_some_and(|again| again == imatrix));
}

/// A file of the older form with experts of their own, and one in GGUF.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut legacy = 2i32.to_le_bytes().to_vec();
    for name in ["blk.0.ffn_up.1.weight", "a"] {
        legacy.extend((name.len() as i32).to_le_bytes());
        legacy.extend(name.as_bytes());
        legacy.extend([1i32, 2].iter().flat_map(|number| number.to_le_bytes()));
        legacy.extend([0.5f32, 2.0].iter().flat_map(|value| value.to_le_bytes()));
    }
    let imatrix = Imatrix::from_bytes(Path::new("seed"), legacy.clone()).expect("a seed");
    let mut gguf = Vec::new();
    imatrix.write_gguf(&mut gguf).expect("memory takes all");
    vec![legacy, gguf]
}
