//! Answers many prompts at once, and prints each answer as soon as it is there:
//! `cargo run --release --example many_requests -- MODEL.gguf PROMPT...`.

use gatefold::engine::{Engine, Event, Options, Request};
use gatefold::sampler::Sampling;
use gatefold::{Compute, LanguageModel};
use std::collections::HashMap;
use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let model = LanguageModel::open(args.next().ok_or("name a GGUF file")?)?;
    let mut engine = Engine::new(&model, Compute::detect()?, Options::for_model(&model))?;
    let mut prompts = HashMap::new();
    for text in args {
        let prompt = model.tokenizer.encode_text(&text)?;
        let request = Request { max_tokens: Some(40), ..Request::new(prompt, Sampling::default()) };
        prompts.insert(engine.submit(request)?, text);
    }
    // No thread is needed for this: each step takes a token of every answer.
    while !engine.is_idle() {
        engine.step(&mut |id, event| match event {
            Event::Done(generated) => println!("{}{}\n", prompts[&id], generated.text),
            Event::Failed(error) => eprintln!("{}: {error}", prompts[&id]),
            _ => {}
        });
    }
    Ok(())
}
