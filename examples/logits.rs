//! Tokens and logits: how probable a model finds each token of a text, given those before it.
//! `cargo run --release --example logits -- MODEL.gguf TEXT`.

use gatefold::engine::{Engine, Options, PromptLogprobs, Request};
use gatefold::sampler::Sampling;
use gatefold::{Compute, LanguageModel};
use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    let model = LanguageModel::open(env::args().nth(1).ok_or("name a GGUF file")?)?;
    let text = env::args().nth(2).unwrap_or("The capital of France is Paris.".into());
    let options = Options::for_model(&model);
    let engine = Engine::new(&model, Compute::detect()?, options)?.spawn()?;
    let tokens = model.tokenizer.encode_text(&text)?;
    let request = Request {
        max_tokens: Some(0),
        prompt_logprobs: Some(PromptLogprobs { first: 1, n_top: 1 }),
        ..Request::new(tokens.clone(), Sampling::default())
    };
    let scored = engine.submit(request)?.wait()?;
    for (&token, logprobs) in tokens[1..].iter().zip(&scored.prompt_logprobs) {
        let (best, best_logprob) = logprobs.top[0];
        let [token, best] = [token, best].map(|id| model.tokenizer.decode(&[id]));
        println!("{:8.4} {token:?}, most probable {best_logprob:8.4} {best:?}", logprobs.chosen);
    }
    println!("hash of the last logits: {:016x}", scored.logits_hash());
    Ok(())
}
