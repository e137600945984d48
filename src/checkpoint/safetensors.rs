//! Safetensors files.
//!
//! The format: <https://github.com/huggingface/safetensors#format>. Eight bytes of length, a header
//! of that length in JSON, the numbers. The numbers are not looked at.

use super::error::{CheckpointError, Problem};
use super::shards::{self, FileTensors};
use super::stored::{SourceFile, StoredTensor, StoredTensors};
use gatefold_quant::DynFormat;
use safetensors::tensor::Metadata;
use std::path::Path;

/// Bytes of the length before a header.
const LENGTH_BYTES: u64 = 8;

/// The most that the format's own library reads.
const MOST_HEADER_BYTES: u64 = 100_000_000;

/// Reads the headers of safetensors files.
///
/// # Errors
/// If a file is damaged, or two of them hold a tensor of the same name.
pub fn read(paths: &[&Path]) -> Result<StoredTensors, CheckpointError> {
    shards::read(paths, read_file)
}

/// One file and its tensors.
pub(super) fn read_file(path: &Path) -> Result<FileTensors, CheckpointError> {
    let damaged = |problem: String| Problem::Damaged(problem).at(path);
    let file = SourceFile::open(path)?;
    if file.n_bytes < LENGTH_BYTES {
        return Err(damaged(format!("it has {} bytes", file.n_bytes)));
    }
    let mut length = [0; LENGTH_BYTES as usize];
    file.read_at(0, &mut length)?;
    let header_bytes = u64::from_le_bytes(length);
    let most = MOST_HEADER_BYTES.min(file.n_bytes - LENGTH_BYTES);
    if header_bytes > most {
        return Err(damaged(format!(
            "its header claims {header_bytes} bytes, and at most {most} can be"
        )));
    }
    let mut header = vec![0; header_bytes as usize];
    file.read_at(LENGTH_BYTES, &mut header)?;
    // Checks that offsets fit the shapes, leave no gaps and do not overlap.
    let metadata: Metadata =
        serde_json::from_slice(&header).map_err(|error| damaged(format!("its header: {error}")))?;

    let data_start = LENGTH_BYTES + header_bytes;
    let data_bytes = file.n_bytes - data_start;
    let stored = metadata.offset_keys().into_iter().map(|name| {
        let info = metadata.info(&name).expect("the name is one of its own");
        let (start, end) = info.data_offsets;
        if end as u64 > data_bytes {
            return Err(Problem::Truncated { tensor: name }.at(path));
        }
        let type_name = format!("{:?}", info.dtype);
        let tensor = StoredTensor {
            format: DynFormat::by_name(&type_name).ok_or(type_name),
            shape: info.shape.clone(),
            file: file.clone(),
            offset: data_start + start as u64,
        };
        Ok((name, tensor))
    });
    let stored = stored.collect::<Result<_, _>>()?;
    Ok((file, stored))
}
