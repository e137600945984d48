//! Reading every weight, to find those that are no numbers.

use crate::compute::Compute;
use crate::gguf::{Gguf, Tensor};
use gatefold_quant::Isa;
use rayon::prelude::*;
use serde::Serialize;

/// What reading every weight of a model found.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// Tensors read.
    pub n_tensors: usize,
    /// Those with weights that are NaN or infinite.
    pub faults: Vec<Fault>,
}

/// A tensor with weights that are NaN or infinite.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// Its name.
    pub tensor: String,
    /// Its format; a scale that is not finite spoils the whole block.
    pub format: &'static str,
    /// How many weights are not finite.
    pub n_weights: usize,
    /// Where the first one is, outermost index first.
    pub first: Vec<usize>,
}

/// Weights read at a time by one thread: whole blocks in every format.
const CHUNK_LEN: usize = 1 << 16;

/// Reads all weights. `progress` is told the bytes read since it was last told.
pub fn check(gguf: &Gguf, compute: &Compute, progress: impl Fn(u64) + Sync) -> Check {
    let check_one = |tensor| check_tensor(tensor, compute.isa, &progress);
    let faults = compute.run(|| gguf.tensors().filter_map(check_one).collect());
    Check { n_tensors: gguf.tensors().count(), faults }
}

fn check_tensor(tensor: &Tensor, isa: Isa, progress: &(impl Fn(u64) + Sync)) -> Option<Fault> {
    let format = tensor.format;
    let n_cols = tensor.shape.last().copied().unwrap_or(1);
    let (chunk_len, block_bytes) = match tensor.packing {
        Some(packing) => (packing.n_rows() * n_cols, packing.block_bytes()),
        None => (CHUNK_LEN, format.block_bytes),
    };
    let chunk_bytes = chunk_len / format.block_len * block_bytes;
    let chunks = tensor.bytes.par_chunks(chunk_bytes).enumerate();
    let not_finite = chunks.map_init(Vec::new, |weights: &mut Vec<f32>, (chunk_idx, stored)| {
        let n_blocks = stored.len() / block_bytes;
        weights.resize(n_blocks * format.block_len, 0.0);
        match tensor.packing {
            Some(packing) => {
                let mut blocks = vec![0; n_blocks * format.block_bytes];
                packing.unpack(stored, &mut blocks);
                format.dequantize(isa, &blocks, weights);
            }
            None => format.dequantize(isa, stored, weights),
        }
        progress(stored.len() as u64);
        let first = weights.iter().position(|weight| !weight.is_finite())?;
        let n_weights = weights.iter().filter(|weight| !weight.is_finite()).count();
        Some((chunk_idx * chunk_len + first, n_weights))
    });
    let (first, n_weights) = not_finite.flatten().reduce_with(|a, b| (a.0.min(b.0), a.1 + b.1))?;
    let name = tensor.name.clone();
    Some(Fault {
        tensor: name,
        format: tensor.type_name(),
        n_weights,
        first: indices(first, &tensor.shape),
    })
}

/// The index in each dimension of the weight that is `flat`th in memory.
fn indices(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut indices = vec![0; shape.len()];
    for (index, size) in indices.iter_mut().zip(shape).rev() {
        (*index, flat) = (flat % size, flat / size);
    }
    indices
}
