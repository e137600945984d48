//! Continues a text: `cargo run --release --example complete -- MODEL.gguf TEXT`.

use gatefold::engine::{Engine, Options, Request};
use gatefold::sampler::Sampling;
use gatefold::{Compute, LanguageModel};
use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).ok_or("name a GGUF file")?;
    let text = env::args().nth(2).unwrap_or("The capital of France is".into());
    let model = LanguageModel::open(path)?;
    let options = Options::for_model(&model);
    let engine = Engine::new(&model, Compute::detect()?, options)?.spawn()?;
    let prompt = model.tokenizer.encode_text(&text)?;
    let request = Request { max_tokens: Some(40), ..Request::new(prompt, Sampling::default()) };
    println!("{text}{}", engine.submit(request)?.wait()?.text);
    Ok(())
}
