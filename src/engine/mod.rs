//! From prompts to tokens: continuous batching of any number of requests.
//!
//! An [`Engine`] takes [`Request`]s and works on many of them at once, step by step. A step takes one
//! token of every decoding sequence, and fills the rest of its token budget with chunked prefill; all
//! of them go through a layer together, so that its weights are read once. The results are emitted
//! as [`Event`]s: tokens and text as they are made, and in the end each request's [`Generated`].
//!
//! In a thread of its own, behind a [`Handle`], it serves any number of threads:
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
//! let request = Request { max_tokens: Some(20), ..Request::new(prompt, Sampling::default()) };
//! println!("{}", engine.submit(request)?.wait()?.text);
//! # Ok(())
//! # }
//! ```
//!
//! A [`Stream`] hands out the events one by one, and dropping it cancels the request. A program that
//! has nothing else to do calls [`Engine::step`] itself.
//!
//! What holds for every request, whatever its company:
//!
//! - Its answer depends on the model, its tokens, its sampling and the format of the cache alone:
//!   not on other requests, the size of steps, or what was computed before.
//! - It is answered in the end, or refused by [`Engine::submit`] if it never could be. Requests are
//!   admitted in their order, once there is memory for their prompts and for answers of usual length;
//!   where longer ones fill it, the sequence with the least computed is preempted and computed again.
//!   Those of the background ([`Priority`]) come after all others, and are held up by them alone.
//! - If it fails, no other does.
//!
//! Common prompt prefixes are prefilled once (prefix caching). A prompt that begins like something
//! which a running or a finished sequence has computed goes on from there; if another sequence is
//! computing the same prefix just now, it waits for that. [`PromptCache`] does the same from run to
//! run.
//!
//! The parts: `request` has what goes in and out, `options` how an engine works, `scheduler` the
//! engine, `handle` its thread, `sequence` a request on its way, `held` what its answer is held to,
//! `limits` what is refused, `prefix_cache` finds common prefixes, `prefix_file` keeps them in files
//! and `prompt_cache` knows when, `turns` whose turn it is, `output_text` and `stop` make the text,
//! `speed` measures, `status` counts. Keys and values lie in [pages](crate::model::PagePool).
//! [`LogitsSession`] is for those who want the logits of every token.

mod handle;
mod held;
mod limits;
mod logits_session;
mod options;
mod output_text;
mod prefix_cache;
mod prefix_file;
mod prompt_cache;
mod request;
mod scheduler;
mod sequence;
mod speed;
mod status;
mod stop;
mod turns;

pub use handle::{Handle, Stream, Ticket};
pub use logits_session::LogitsSession;
pub use options::Options;
pub use prefix_cache::common_prefix;
pub use prefix_file::{PrefixFile, PrefixFileError, PrefixProblem};
pub use prompt_cache::{Change, Kept, PromptCache};
pub use request::{
    Delta, Event, FinishReason, GenerateError, Generated, Priority, PromptLogprobs, Refusal,
    Request, RequestId, Token, TokenLogprobs,
};
pub use scheduler::Engine;
pub use speed::Speed;
pub use status::{Status, Work};

/// Stands in keys of results and in files of prefixes for all that turns a request into its answer:
/// results of one revision are the same bits, and go together in one output.
///
/// To be raised by one with every change after which any result has other bits: of arithmetic, of
/// the choice of tokens, of tokenizers and chat templates, of the words and cuts of prompts.
pub const NUMERICS_REVISION: u32 = 1;
