//! Gatefold runs Mixtral and its relatives on CPUs, straight from GGUF files.
//!
//! The modules, in the order in which data flows:
//!
//! 1. [`text`]: messages stay on one line, whatever they quote;
//! 2. [`files`]: what is written is whole, and what is locked belongs to one run;
//! 3. [`gguf`]: a memory-mapped file becomes metadata and tensors;
//! 4. [`architecture`]: what a model consists of: keys, sizes, tensors;
//! 5. [`tokenizer`]: text becomes tokens, by the file's own vocabulary and chat template;
//! 6. [`compute`]: the instruction set and the pool of threads;
//! 7. [`model`]: tokens become logits, layer by layer, two experts each;
//! 8. [`sampler`]: logits become the next token;
//! 9. [`engine`]: requests become steps of the model, and answers;
//! 10. [`eval`]: logits become perplexity, and the distance between two models;
//! 11. [`inspect`]: what a file holds, and whether it will run here;
//! 12. [`jobs`]: results that outlive the process, and the loop that keeps an engine busy;
//! 13. [`checkpoint`]: models as they are published, seen as the tensors of a GGUF;
//! 14. [`quantize`]: checkpoints become quantized GGUF files;
//! 15. [`documents`]: files, folders and lines become texts;
//! 16. [`summarize`]: texts become summaries;
//! 17. [`batch`]: requests in OpenAI's batch format become answers;
//! 18. [`mod@bench`]: how fast a model runs, against what the machine can do at most;
//! 19. [`demo`]: the model in the program;
//! 20. [`cli`]: all of it behind one command line.
//!
//! The formats of the weights and their kernels are a crate of their own, [`gatefold_quant`].

pub mod architecture;
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
pub mod text;
pub mod tokenizer;
