//! Chats, a line a question: `cargo run --release --example chat -- MODEL.gguf`.

use gatefold::engine::{Engine, Event, Options, Request};
use gatefold::sampler::Sampling;
use gatefold::tokenizer::Message;
use gatefold::{Compute, LanguageModel};
use std::io::{Write, stdin, stdout};
use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    let model = LanguageModel::open(env::args().nth(1).ok_or("name a GGUF file")?)?;
    let template = model.chat_template()?;
    let options = Options::for_model(&model);
    let engine = Engine::new(&model, Compute::detect()?, options)?.spawn()?;
    let mut messages = Vec::new();
    for line in stdin().lines() {
        messages.push(Message::new("user", line?));
        // The conversation so far is in the prefix cache: only the question is computed.
        let prompt = template.encode(&model.tokenizer, &messages)?;
        let mut answer = String::new();
        let request = Request { is_own_text: true, ..Request::new(prompt, Sampling::default()) };
        for event in engine.submit(request)? {
            match event {
                Event::Delta(delta) => {
                    print!("{}", delta.text);
                    stdout().flush()?;
                    answer += &delta.text;
                }
                Event::Failed(error) => return Err(error.into()),
                _ => {}
            }
        }
        println!();
        messages.push(Message::new("assistant", answer));
    }
    Ok(())
}
