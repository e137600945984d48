//! Gatefold runs Mixtral and its relatives on CPUs, straight from GGUF files.
//!
//! The modules, in the order in which data flows:
//!
//! 1. [`text`]: messages stay on one line, whatever they quote;
//! 2. [`files`]: what is written is whole, and what is locked belongs to one run;
//! 3. [`machine`]: the memory of this machine;
//! 4. [`gguf`]: a memory-mapped file becomes metadata and tensors;
//! 5. [`architecture`]: what a model consists of: keys, sizes, tensors;
//! 6. [`tokenizer`]: text becomes tokens, by the file's own vocabulary and chat template;
//! 7. [`compute`]: the instruction set and the pool of threads;
//! 8. [`model`]: tokens become logits, layer by layer, two experts each;
//! 9. [`sampler`]: logits become the next token;
//! 10. [`language_model`]: a file's weights with its tokenizer;
//! 11. [`engine`]: requests become steps of the model, and answers;
//! 12. [`eval`]: logits become perplexity, and the distance between two models;
//! 13. [`inspect`]: what a file holds, and whether it will run here;
//! 14. [`checkpoint`]: models as they are published, seen as the tensors of a GGUF;
//! 15. [`quantize`]: checkpoints become quantized GGUF files.
//!
//! The formats of the weights and their kernels are a crate of their own, [`gatefold_quant`].

pub mod architecture;
#[cfg(feature = "checkpoints")]
pub mod checkpoint;
pub mod compute;
pub mod engine;
pub mod eval;
pub mod files;
pub mod gguf;
pub mod inspect;
pub mod language_model;
pub mod machine;
pub mod model;
#[cfg(feature = "checkpoints")]
pub mod quantize;
pub mod sampler;
pub mod text;
pub mod tokenizer;

pub use compute::Compute;
pub use engine::{Engine, Options as EngineOptions, Request};
pub use gatefold_quant::{DynFormat, FORMATS, Isa};
pub use language_model::LanguageModel;
pub use sampler::Sampling;
