//! Gatefold runs Mixtral and its relatives on CPUs, straight from GGUF files.
//!
//! The modules, in the order in which data flows:
//!
//! 1. [`files`]: what is written is whole, and what is locked belongs to one run;
//! 2. [`gguf`]: a memory-mapped file becomes metadata and tensors;
//! 3. [`tokenizer`]: text becomes tokens, by the file's own vocabulary and chat template;
//! 4. [`compute`]: the instruction set and the pool of threads;
//! 5. [`model`]: tokens become logits, layer by layer, two experts each;
//! 6. [`sampler`]: logits become the next token;
//! 7. [`engine`]: requests become steps of the model, and answers;
//! 8. [`eval`]: logits become perplexity, and the distance between two models;
//! 9. [`inspect`]: what a file holds, and whether it will run here;
//! 10. [`jobs`]: results that outlive the process, and the loop that keeps an engine busy;
//! 11. [`checkpoint`]: models as they are published, seen as the tensors of a GGUF;
//! 12. [`quantize`]: checkpoints become quantized GGUF files;
//! 13. [`documents`]: files, folders and lines become texts;
//! 14. [`summarize`]: texts become summaries;
//! 15. [`batch`]: requests in OpenAI's batch format become answers;
//! 16. [`mod@bench`]: how fast a model runs, against what the machine can do at most;
//! 17. [`demo`]: the model in the program;
//! 18. [`cli`]: all of it behind one command line.
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
pub mod files;
pub mod gguf;
pub mod inspect;
pub mod jobs;
pub mod model;
pub mod quantize;
pub mod sampler;
pub mod summarize;
pub mod tokenizer;
