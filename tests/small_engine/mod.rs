//! A small model with an engine, and requests for it.

#![allow(dead_code, reason = "each test uses its part")]

use crate::random_mixtral::{self, ExpertLayout};
use crate::vocabulary;
use gatefold::compute::Compute;
use gatefold::engine::{Engine, Event, GenerateError, Generated, Options, Request, RequestId};
use gatefold::gguf::{Bytes, Gguf};
use gatefold::model::{Model, PageLayout};
use gatefold::sampler::Sampling;
use gatefold::tokenizer::Tokenizer;
use gatefold_quant::{DynFormat, Isa};
use std::collections::BTreeMap;

/// Most of these tokens are bytes, so that texts hold back parts of characters.
pub const N_VOCAB: usize = 256;
pub const CONTEXT_LEN: usize = 1024;

/// What an engine borrows.
pub struct Small {
    pub model: Model,
    pub tokenizer: Tokenizer,
    pub compute: Compute,
}

/// How each request ended.
pub type Endings = BTreeMap<RequestId, Result<Generated, GenerateError>>;

impl Small {
    pub fn new() -> Small {
        Small::in_format("Q8_0")
    }

    pub fn in_format(format: &str) -> Small {
        Small::of(random_mixtral::gguf(N_VOCAB, format, ExpertLayout::Merged))
    }

    fn of(gguf: Gguf) -> Small {
        Small {
            model: Model::load(&gguf).unwrap(),
            tokenizer: Tokenizer::from_metadata(&vocabulary::mistral()).unwrap(),
            compute: Compute::new(Isa::detect(), None).unwrap(),
        }
    }

    /// One whose embedding of `token` is no number.
    pub fn with_damaged(token: usize) -> Small {
        let q8_0 = DynFormat::by_name("Q8_0").unwrap();
        let metadata = random_mixtral::metadata();
        let mut file = random_mixtral::file(&metadata, N_VOCAB, q8_0, ExpertLayout::Merged);
        let parse = |file: &[u8]| Gguf::from_bytes("damaged.gguf", Bytes::from(file.to_vec()));
        let offset = parse(&file).unwrap().tensor("token_embd.weight").unwrap().offset as usize;
        let row_bytes = q8_0.row_bytes(random_mixtral::DIM).unwrap();
        file[offset + token * row_bytes..][..row_bytes].fill(0xff);
        Small::of(parse(&file).unwrap())
    }

    /// Options with this format of the cache and plenty of everything.
    pub fn options(&self, cache_format: &str) -> Options {
        let cache_format = DynFormat::by_name(cache_format).unwrap();
        Options {
            cache_format,
            context_len: CONTEXT_LEN,
            step_len: 512,
            max_live: 32,
            memory_bytes: 1 << 32,
        }
    }

    pub fn page_bytes(&self, cache_format: &str) -> u64 {
        let cache_format = DynFormat::by_name(cache_format).unwrap();
        PageLayout::new(self.model.config(), cache_format).unwrap().page_bytes() as u64
    }

    pub fn engine(&self, options: Options) -> Engine<'_> {
        Engine::new(&self.model, &self.tokenizer, &self.compute, options).unwrap()
    }

    /// The answer of an engine that does nothing else, and never did.
    pub fn alone(&self, cache_format: &str, request: Request) -> Generated {
        let mut engine = self.engine(self.options(cache_format));
        let id = engine.submit(request).unwrap();
        run(&mut engine).remove(&id).unwrap().unwrap()
    }
}

/// Takes steps until all requests are answered.
pub fn run(engine: &mut Engine<'_>) -> Endings {
    let mut endings = Endings::new();
    while !engine.is_idle() {
        step(engine, &mut endings);
    }
    endings
}

/// Takes a step, and notes which requests it has ended.
pub fn step(engine: &mut Engine<'_>, endings: &mut Endings) {
    engine.step(&mut |id, event| {
        let ending = match event {
            Event::Done(generated) => Ok(generated),
            Event::Failed(error) => Err(error),
            Event::Prompt { .. } | Event::Text(_) => return,
        };
        assert!(endings.insert(id, ending).is_none(), "{id:?} has ended twice");
    });
}

/// Text-like ids, others for each seed.
pub fn tokens(n_tokens: usize, seed: usize) -> Vec<u32> {
    let id = |i: usize| (i * i * 31 + i * 7 + seed * 101 + i * seed) % (N_VOCAB - 3) + 3;
    (0..n_tokens).map(|i| id(i) as u32).collect()
}

/// A request for this many of the most probable tokens.
pub fn greedy(prompt: Vec<u32>, max_tokens: usize) -> Request {
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    Request { max_tokens: Some(max_tokens), ..Request::new(prompt, sampling) }
}

/// All of an answer that depends on the request alone.
pub fn essence(generated: &Generated) -> impl PartialEq + std::fmt::Debug + use<> {
    let Generated { text, tokens, logprobs, finish_reason, .. } = generated.clone();
    (text, tokens, logprobs, finish_reason, generated.logits_hash())
}
