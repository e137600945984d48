//! Makes a quantized GGUF from a checkpoint or another GGUF, in one pass and bounded memory:
//! `cargo run --release --example quantize -- INPUT OUTPUT.gguf Q4_K_M`.

use gatefold::Compute;
use gatefold::checkpoint::Checkpoint;
use gatefold::quantize::{Options, Output, Plan, quantize, recipe};
use std::path::PathBuf;
use std::{env, error::Error};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [input, output, target] = &args[..] else {
        return Err("usage: quantize INPUT OUTPUT.gguf TYPE".into());
    };
    let checkpoint = Checkpoint::open(&PathBuf::from(input))?;
    let recipe = recipe::by_name(target).ok_or_else(|| format!("there is no type {target}"))?;
    let options = Options { recipe: Some(recipe), ..Options::default() };
    let plan = Plan::new(&checkpoint, &options)?;
    // An earlier run that was stopped is gone on with; a finished file is not replaced.
    let output = Output::open(&checkpoint, &plan, &PathBuf::from(output), false)?;
    let files = quantize(&checkpoint, &plan, output, &Compute::detect()?, |progress| {
        eprint!("\r{} weights", progress.weights_done);
    })?;
    eprintln!();
    files.iter().for_each(|file| println!("{}", file.display()));
    Ok(())
}
