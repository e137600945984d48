//! The model: from tokens to logits.
//!
//! [`Config`](crate::architecture::Config) has the sizes, [`Weights`] the tensors, [`Model::forward`] the layer loop over the
//! [`Chunk`]s of a step, `attention` and `moe` its two halves, [`KvCache`] the keys and values of a
//! sequence, in pages ([`PagePool`]), `product` the matrix products (GEMM) that everything comes down
//! to. Whoever wants to know what the routers choose gives a step [`Gates`] with [`Routes`], and with
//! [`InputSums`] whoever wants to know what the matrices are multiplied with.

mod attention;
mod forward;
mod input_sums;
mod kv_cache;
mod larger;
pub(crate) mod log_probs;
mod moe;
mod pages;
mod product;
mod random_routers;
mod rope;
mod routes;
mod step;
mod store;
mod tensors;
mod weights;

pub use forward::Model;
pub use input_sums::{
    ExpertInputs, InputSums, LayerInputs, SUM_BLOCK_LEN, Squares, of_units, to_units,
};
pub use kv_cache::KvCache;
pub use larger::{Memory, Needs, Residence, SHORT_CONTEXT, Shares};
pub use pages::{PageLayout, PagePool, TILE_LEN};
pub use random_routers::RandomRouters;
pub use rope::Divisors;
pub use routes::{Choice, Gates, Routes};
pub use step::{Chunk, Logits, Wanted};
pub use weights::{Expert, Layer, Matrix, Weights};

use crate::architecture::ArchitectureError;
use crate::gguf::GgufError;
use crate::text::printable;
use std::fmt::Display;
use std::path::Path;
use thiserror::Error;

/// Why a model cannot be loaded or run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file itself is at fault.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// The metadata describes no model that can be run.
    #[error(transparent)]
    Architecture(#[from] ArchitectureError),
    /// A tensor is missing, or there is one that this architecture does not have.
    #[error("{file}: tensor {tensor} {problem}")]
    Tensor {
        /// The file.
        file: String,
        /// The tensor's name.
        tensor: String,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// Weights that are not in memory cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A token that the vocabulary does not have.
    #[error("token id {id} is out of range: the model's vocabulary has {n_vocab} tokens, 0 to {}", n_vocab - 1)]
    Token {
        /// The token.
        id: u32,
        /// Size of the vocabulary.
        n_vocab: usize,
    },
    /// A sequence would outgrow its context.
    #[error(
        "{wanted} tokens do not fit into the context of {context_len}; shorten the text{}",
        if context_len < trained_len { format!(" or raise `context_len`, up to {trained_len}") } else { ", the model was made for no more".to_owned() }
    )]
    Context {
        /// Tokens that the sequence would have.
        wanted: usize,
        /// The limit set for it.
        context_len: usize,
        /// The model's own.
        trained_len: usize,
    },
    /// The memory for keys and values is used up.
    #[error(
        "the memory for keys and values holds {max_tokens} tokens and is used up; raise `memory_bytes`"
    )]
    CacheMemory {
        /// Tokens of all sequences that it holds.
        max_tokens: usize,
    },
    /// The cache's format cannot hold the model's heads.
    #[error(
        "a {format} cache needs heads of whole blocks of {block_len}, but this model's have {head_dim} values; use `cache_format` f16"
    )]
    CacheFormat {
        /// The cache's format.
        format: &'static str,
        /// Values per block.
        block_len: usize,
        /// Values per head.
        head_dim: usize,
    },
}

/// Why weights could not be read from the disk, or not be read again.
#[derive(Clone, Debug, Error)]
#[error(
    "{file}: {item} cannot be read: {problem}; see to the file and its disk, and open the model again"
)]
pub struct ReadError {
    /// The file.
    file: String,
    /// What is read: a tensor, and where it lies in the file.
    item: String,
    /// What the system says.
    problem: String,
}

impl ReadError {
    fn new(file: &Path, item: String, problem: impl Display) -> ReadError {
        ReadError { file: printable(file.display()), item, problem: problem.to_string() }
    }
}
