//! What tells one model from another.

use super::value::encode_str;
use super::{Gguf, is_of_one_file};
use sha2::{Digest, Sha256};

/// Bytes of a sample.
const SAMPLE_BYTES: usize = 4096;

impl Gguf {
    /// SHA-256 over the metadata, the names, formats and shapes of the tensors, and samples of
    /// their bytes: 4 KiB from the beginning, the middle and the end of each.
    ///
    /// It takes a fraction of a second, whatever the model's size, and tells apart the files that
    /// one meets: other models, formats, trainings and conversions. It is no checksum: a change of
    /// some weights between the samples goes unnoticed. The file's name, and the way in which a
    /// model is split into files, make no difference.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for (key, value) in self.metadata().iter().filter(|(key, _)| !is_of_one_file(key)) {
            let mut entry = Vec::new();
            encode_str(key, &mut entry);
            value.encode(&mut entry);
            digest.update(entry);
        }
        for tensor in self.tensors() {
            let mut entry = Vec::new();
            encode_str(&tensor.name, &mut entry);
            encode_str(tensor.format.name, &mut entry);
            entry.extend((tensor.shape.len() as u64).to_le_bytes());
            entry.extend(tensor.shape.iter().flat_map(|&size| (size as u64).to_le_bytes()));
            digest.update(entry);
            let bytes = &tensor.bytes[..];
            let last = bytes.len().saturating_sub(SAMPLE_BYTES);
            for start in [0, last / 2, last] {
                digest.update(&bytes[start..bytes.len().min(start + SAMPLE_BYTES)]);
            }
        }
        digest.finalize().into()
    }
}
