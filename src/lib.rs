//! Gatefold runs Mixtral and its relatives on CPUs, straight from GGUF files.
//!
//! The modules, in the order in which data flows:
//!
//! 1. [`gguf`]: a memory-mapped file becomes metadata and tensors;
//! 2. [`tokenizer`]: text becomes tokens, by the file's own vocabulary and chat template;
//! 3. [`compute`]: the instruction set and the pool of threads;
//! 4. [`model`]: tokens become logits, layer by layer, two experts each;
//! 5. [`engine`]: sequences and their prompts become steps of the model;
//! 6. [`sampler`]: logits become the next token;
//! 7. [`eval`]: logits become perplexity, and the distance between two models;
//! 8. [`inspect`]: what a file holds, and whether it will run here;
//! 9. [`checkpoint`]: models as they are published, seen as the tensors of a GGUF;
//! 10. [`quantize`]: checkpoints become quantized GGUF files;
//! 11. [`jobs`]: results that outlive the process, and the loop that keeps an engine busy;
//! 12. [`documents`]: files, folders and lines become texts;
//! 13. [`summarize`]: texts become summaries;
//! 14. [`batch`]: requests in OpenAI's batch format become answers;
//! 15. [`bench`]: how fast a model runs, against what the machine can do at most;
//! 16. [`demo`]: the model in the program;
//! 17. [`cli`]: all of it behind one command line.
//!
//! The formats of the weights and their kernels are a crate of their own, [`gatefold_quant`].

pub mod batch;
pub mod bench;
pub mod checkpoint;
pub mod cli;
pub mod compute;
pub mod demo;
pub mod documents;
pub mod engine;
pub mod eval;
pub mod gguf;
pub mod inspect;
pub mod jobs;
pub mod model;
pub mod quantize;
pub mod sampler;
pub mod summarize;
pub mod tokenizer;
