//! The library from outside, in one binary: linking takes longer than most of its tests.

mod chat_formats;
mod chat_jinja;
mod chat_tools;
mod checkpoint;
mod checkpoint_foreign;
mod checkpoint_hostile;
mod checkpoint_numbers;
mod engine;
mod gguf_fingerprint;
mod gguf_hostile;
mod gguf_roundtrip;
mod gguf_split;
#[cfg(feature = "grammars")]
mod grammar;
#[cfg(feature = "grammars")]
mod grammar_engine;
#[cfg(feature = "grammars")]
mod grammar_errors;
mod handle;
mod imatrix;
mod larger;
mod layers;
mod llama;
mod logits;
mod packed;
mod prefixes;
mod priorities;
mod prompt_logprobs;
mod quantize_pipeline;
mod quantize_resume;
mod routing;
mod routing_null;
mod same_bits;
mod small_checkpoint;
mod tokenizer;
mod tokenizer_chat;
mod tokenizer_defects;
mod tokenizer_folder;
mod tokenizer_hostile;
mod torch;
mod torch_hostile;
mod vocabulary_files;
mod vocabulary_files_hostile;
mod vocabulary_rows;
mod vocabulary_spaces;
