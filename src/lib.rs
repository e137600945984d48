//! Gatefold runs Mixtral and its relatives on CPUs, straight from GGUF files: each token reads only
//! the experts that its router picks, and the answer is the same bits on every machine.
//!
//! From a path to an answer:
//!
//! ```
//! use gatefold::engine::{Engine, Options, Request};
//! use gatefold::sampler::Sampling;
//! use gatefold::{Compute, LanguageModel};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (_folder, path) = gatefold_fixtures::tiny_model::Model::with_merged_experts().write();
//! let model = LanguageModel::open(&path)?;
//! let engine = Engine::new(&model, Compute::detect()?, Options::for_model(&model))?.spawn()?;
//! let prompt = model.tokenizer.encode_text("a a")?;
//! let answer = engine.submit(Request::new(prompt, Sampling::default()))?.wait()?;
//! println!("{}", answer.text);
//! # Ok(())
//! # }
//! ```
//!
//! [`LanguageModel`] is a file with its weights and tokenizer, [`Compute`] the instruction set and
//! the threads, [`engine`] answers any number of requests together. [`checkpoint`] and [`quantize`]
//! make such files.
//!
//! The modules, in the order in which data flows:
//!
//! 1. [`text`]: messages stay on one line, whatever they quote;
//! 2. [`files`]: what is written is whole, and what is locked belongs to one run;
//! 3. [`machine`]: the memory of this machine, and its cores;
//! 4. [`gguf`]: a memory-mapped file becomes metadata and tensors;
//! 5. [`architecture`]: what a model consists of: keys, sizes, tensors;
//! 6. [`tokenizer`]: text becomes tokens, by the file's own vocabulary and chat template;
//! 7. [`compute`](Compute): the instruction set and the pool of threads;
//! 8. [`model`]: tokens become logits, layer by layer, two experts each;
//! 9. [`constraint`]: which tokens an answer may have next;
//! 10. [`grammar`]: schemas, regular expressions and grammars become constraints;
//! 11. [`sampler`]: logits become the next token;
//! 12. [`language_model`](LanguageModel): a file's weights with its tokenizer;
//! 13. [`engine`]: requests become steps of the model, and answers;
//! 14. [`eval`]: logits become perplexity, and the distance between two models;
//! 15. [`routing`]: which expert does what;
//! 16. [`imatrix`]: how much an error of each weight counts;
//! 17. [`inspect`]: what a file holds, and whether it will run here;
//! 18. [`checkpoint`]: models as they are published, seen as the tensors of a GGUF;
//! 19. [`quantize`]: checkpoints become quantized GGUF files.
//!
//! The formats of the weights and their kernels are a crate of their own, [`gatefold_quant`].

pub mod architecture;
#[cfg(feature = "checkpoints")]
pub mod checkpoint;
mod compute;
pub mod constraint;
pub mod engine;
pub mod eval;
pub mod files;
pub mod gguf;
#[cfg(feature = "grammars")]
pub mod grammar;
pub mod imatrix;
pub mod inspect;
mod language_model;
pub mod machine;
pub mod model;
#[cfg(feature = "checkpoints")]
pub mod quantize;
pub mod routing;
pub mod sampler;
pub mod text;
pub mod tokenizer;

pub use compute::Compute;
pub use gatefold_quant::{DynFormat, FORMATS, Isa};
pub use language_model::{LanguageModel, OpenError};
