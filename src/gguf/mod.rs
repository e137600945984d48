//! GGUF files: metadata and tensors, validated once, then borrowed from the memory map.

use gatefold_quant::DynFormat;

/// A range of a mapped file (or of memory), kept alive by whoever holds it.
///
/// Dereferences to the bytes; clones share the mapping.
#[derive(Clone)]
pub struct Bytes(std::sync::Arc<[u8]>);

/// A tensor of a file.
#[derive(Clone)]
pub struct Tensor {
    /// Its name in the file: `blk.0.attn_q.weight`.
    pub name: String,
    /// The format of its blocks.
    pub format: &'static DynFormat,
    /// Sizes, outermost first: a matrix is `[rows = out features, cols = in features]`, stacked
    /// experts are `[n_experts, rows, cols]`.
    pub shape: Vec<usize>,
    /// The blocks, row after row.
    pub bytes: Bytes,
}
