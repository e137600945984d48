//! From prompts to tokens: requests join and leave, and travel through the model together.
//!
//! An [`Engine`] takes any number of [`Request`]s and works on many of them at once, step by step.
//! A step takes one token of every answer that is being made, and fills up with pieces of prompts;
//! all of them go through a layer together, so that its weights are read once. What comes of it is
//! told as [`Event`]s: text as it is made, and in the end each request's [`Generated`].
//!
//! ```standalone_crate
//! # #[path = "../../tests/tiny_model/mod.rs"]
//! # mod tiny_model;
//! use gatefold::compute::Compute;
//! use gatefold::engine::{Engine, Event, Options, Request};
//! use gatefold::gguf::Gguf;
//! use gatefold::model::Model;
//! use gatefold::sampler::Sampling;
//! use gatefold::tokenizer::Tokenizer;
//! use gatefold_quant::{DynFormat, Isa};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (_folder, path) = tiny_model::Model::with_merged_experts().write();
//! let gguf = Gguf::open(&path)?;
//! let model = Model::load(&gguf)?;
//! let tokenizer = Tokenizer::from_metadata(gguf.metadata())?;
//! let compute = Compute::new(Isa::detect(), None)?;
//! let options = Options {
//!     cache_format: DynFormat::by_name("F16").expect("one of the formats"),
//!     context_len: model.config().context_len,
//!     step_len: 512,
//!     max_live: 32,
//!     memory_bytes: 1 << 30,
//! };
//! let mut engine = Engine::new(&model, &tokenizer, &compute, options)?;
//!
//! let mut wanted = Vec::new();
//! for text in ["a", "a a", "a a a"] {
//!     let prompt = tokenizer.encode_text(text)?;
//!     let request = Request { max_tokens: Some(20), ..Request::new(prompt, Sampling::default()) };
//!     wanted.push(engine.submit(request)?);
//! }
//! let mut answers = Vec::new();
//! while !engine.is_idle() {
//!     engine.step(&mut |id, event| match event {
//!         Event::Done(generated) => answers.push((id, generated)),
//!         Event::Failed(error) => eprintln!("{id:?}: {error}"),
//!         Event::Prompt { .. } | Event::Text(_) => {}
//!     });
//! }
//! assert_eq!(answers.len(), wanted.len());
//! # assert!(answers.iter().all(|(_, generated)| !generated.tokens.is_empty()));
//! # Ok(())
//! # }
//! ```
//!
//! What holds for every request, whatever its company:
//!
//! - Its answer depends on the model, its tokens, its sampling and the format of the cache alone:
//!   not on other requests, the size of steps, or what was read before.
//! - It is answered in the end, or refused by [`Engine::submit`] if it never could be. Requests are
//!   admitted in their order, once there is memory for their prompts and for answers of usual length;
//!   where longer ones fill it, the one of which least was read waits and is read again.
//! - If it fails, no other does.
//!
//! Beginnings that requests share are read once. A prompt that begins like something which a live
//! request has read, or one that has ended, goes on from there; if another request is reading the
//! same beginning just now, it waits for that. [`PromptCache`] does the same from run to run.
//!
//! The parts: [`scheduler`] has the engine, `member` a request on its way, `prefix` finds common
//! beginnings, `prefix_file` keeps them in files and `prompt_cache` knows when, `answer` and `stop`
//! make the text. Keys and values lie in [pages](crate::model::pages). [`Sequence`] is for those who
//! want the logits of every token.

mod answer;
mod member;
mod options;
mod prefix;
mod prefix_file;
mod prompt_cache;
pub mod request;
pub mod scheduler;
pub mod sequence;
mod speed;
mod stop;

pub use options::Options;
pub use prefix_file::{PrefixFileError, PrefixProblem};
pub use prompt_cache::{Change, PromptCache, shared_beginning};
pub use request::{
    Event, FinishReason, GenerateError, Generated, Refusal, Request, RequestId, TokenLogprobs,
};
pub use scheduler::Engine;
pub use sequence::Sequence;
pub use speed::Speed;

/// Stands in keys of results and in files of prefixes for all that turns a request into its answer:
/// results of one revision are the same bits, and go together in one output.
///
/// To be raised by one with every change after which any result has other bits: of arithmetic, of
/// the choice of tokens, of tokenizers and chat templates, of the words and cuts of prompts.
pub const NUMERICS_REVISION: u32 = 1;
