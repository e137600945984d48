//! A checkpoint's tokenizer files, as the metadata of a GGUF.

use super::error::CheckpointError;
use crate::gguf::Metadata;
use std::path::Path;

/// Sets `tokenizer.*` in `metadata` from the tokenizer files in `folder`; the model has an
/// embedding for `n_vocab` tokens.
///
/// # Errors
/// If there is no tokenizer that can be converted, or one of its files is damaged.
pub fn read(folder: &Path, n_vocab: usize, metadata: &mut Metadata) -> Result<(), CheckpointError> {
    let _ = (folder, n_vocab, metadata);
    unimplemented!()
}
