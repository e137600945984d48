//! What becomes of each tensor.

use crate::gguf::Metadata;
use gatefold_quant::DynFormat;
use std::ops::Range;

/// What a conversion shall write.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The keys of the file, of the first file where there are several.
    pub metadata: Metadata,
    /// A line per tensor of the checkpoint, in its order.
    pub tensors: Vec<PlannedTensor>,
    /// The tensors of each file: one range, or several for a split model. Together they are all.
    pub parts: Vec<Range<usize>>,
}

/// What becomes of a tensor.
#[derive(Clone, Debug)]
pub struct PlannedTensor {
    /// The format it gets. Where it has that already, its bytes are copied.
    pub format: &'static DynFormat,
    /// Its size in that format.
    pub n_bytes: u64,
}
