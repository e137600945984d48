//! One product, for `instructions.py` to count: 32 rows of 4,096 weights with some tokens.
//!
//! `product FORMAT ISA TOKENS` asks for its parent's id before the product and aborts after it, by
//! which whoever traces it knows where the product begins and ends.

mod random;

use gatefold_quant::{Activations, DynFormat, Isa};
use random::Random;
use std::process;

const COLS: usize = 4096;
const N_ROWS: usize = 32;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, format, isa, n_tokens] = &args[..] else {
        eprintln!("usage: product FORMAT ISA TOKENS");
        process::exit(1);
    };
    let format = DynFormat::by_name(format).expect("a format");
    let isa = Isa::named(isa).unwrap_or_else(|error| {
        eprintln!("{error}");
        process::exit(1);
    });
    let n_tokens: usize = n_tokens.parse().expect("a number of tokens");
    let mut random = Random::new(1);
    let weights = random.bell_shaped(N_ROWS * COLS, 0.02);
    let mut bytes = vec![0; N_ROWS * format.row_bytes(COLS).expect("whole blocks")];
    format.quantize(isa, &weights, &mut bytes);
    let x = random.bell_shaped(n_tokens * COLS, 1.0);
    let x = Activations::new(isa, format.activations, COLS, &x);
    let mut out = vec![0.0; N_ROWS * n_tokens];
    // Once before, for what is done once only.
    format.multiply(isa, &bytes, &x, &mut out);
    let _ = std::os::unix::process::parent_id();
    format.multiply(isa, &bytes, &x, &mut out);
    process::abort();
}
